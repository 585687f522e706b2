/** Whether a stage's recorded result still stands, and the reason in words (pure). */
import type {Ingredients} from './stage.js';

/** What is known of a recorded output now: `null` where it is as it was. */
export interface Damage {
  readonly path: string;
  readonly kind: 'missing' | 'changed';
}

export interface Recorded {
  readonly status: 'running' | 'interrupted' | 'failed' | 'done' | 'skipped';
  readonly ingredients: Ingredients | null;
  readonly message: string | null;
}

export interface Verdict {
  readonly fresh: boolean;
  readonly reason: string;
}

const stale = (reason: string): Verdict => ({fresh: false, reason});

/** Values longer than this are hashes or lists: that they changed says more than what they are. */
const SHOWN_LENGTH = 40;

function difference(before: Ingredients, now: Ingredients): string | null {
  const names = [...new Set([...Object.keys(now), ...Object.keys(before)])];
  const changed = names.filter(name => before[name] !== now[name]);
  const [first, ...others] = changed;
  if (first === undefined) return null;
  const was = before[first];
  const is = now[first];
  const shown = was !== undefined && is !== undefined && was.length <= SHOWN_LENGTH && is.length <= SHOWN_LENGTH ? `${first} changed from ${was} to ${is}` : `${first} changed`;
  return others.length === 0 ? shown : `${shown}, and ${others.length === 1 ? others[0] : `${others.length} other things`} too`;
}

/**
 * The verdict on one stage. `now` holds its ingredients as they are today; an ingredient that an earlier stage has yet to
 * make anew is not known before that stage has run, and is named in `pending`.
 */
export function verdict(recorded: Recorded | null, now: Ingredients, damage: readonly Damage[], pending: readonly string[]): Verdict {
  if (recorded === null) return stale('never ran');
  if (recorded.status === 'running') return stale('was cut short: goes on where it stopped');
  if (recorded.status === 'interrupted') return stale('was interrupted: goes on where it stopped');
  if (recorded.status === 'failed') return stale(`failed: ${recorded.message?.split('\n')[0] ?? 'unknown reason'}`);
  const [first] = damage;
  if (first) return stale(`${first.path} is ${first.kind === 'missing' ? 'missing' : 'not what was written'}${damage.length > 1 ? `, and ${damage.length - 1} more` : ''}`);
  const changed = difference(recorded.ingredients ?? {}, {...now, ...Object.fromEntries(pending.map(name => [name, recorded.ingredients?.[name] ?? '']))});
  if (changed !== null) return stale(changed);
  if (pending.length > 0) return stale(`follows ${[...new Set(pending.map(name => name.split('.')[0]))].join(' and ')}`);
  return {fresh: true, reason: recorded.status === 'skipped' ? 'skipped as asked, nothing changed' : 'nothing changed'};
}
