/** Whether a stage's recorded result still stands, and the reason in words (pure). */
import type {Ingredients} from './stage.js';

/** A recorded output that is not as it was left. */
export interface Damage {
  readonly path: string;
  readonly kind: 'missing' | 'changed';
}

export interface Recorded {
  readonly status: 'running' | 'interrupted' | 'failed' | 'done' | 'skipped';
  readonly ingredients: Ingredients | null;
  /** What an unfinished attempt began with. */
  readonly begun: Ingredients | null;
  readonly message: string | null;
}

export interface Verdict {
  readonly fresh: boolean;
  readonly reason: string;
  /** Whether there is no result of what it depends on as that is today. What is only missing or damaged was one. */
  readonly outdated: boolean;
  /**
   * Where a whole result is there, and is only of other ingredients: their names, those included that an earlier stage
   * has yet to make anew. Empty for all else.
   */
  readonly changed: readonly string[];
}

const stale = (
  reason: string,
  {outdated = true, changed = []}: Partial<Pick<Verdict, 'outdated' | 'changed'>> = {},
): Verdict => ({fresh: false, reason, outdated, changed});

/** Values longer than this are hashes or lists: that they changed says more than what they are. */
const SHOWN_LENGTH = 40;
/** What stands behind a number of files: it says that they changed, and nothing else. */
const DIGEST = / [0-9a-f]{16}$/;

function changedNames(before: Ingredients, now: Ingredients): string[] {
  const names = [...new Set([...Object.keys(now), ...Object.keys(before)])];
  return names.filter(name => before[name] !== now[name]);
}

/** What of the named ingredients changed, in words; null where there are none. */
function difference(names: readonly string[], before: Ingredients, now: Ingredients): string | null {
  const [first, ...others] = names;
  if (first === undefined) return null;
  const [was, is] = [before[first], now[first]].map(value => value?.replace(DIGEST, ''));
  const shown =
    was !== undefined && is !== undefined && was !== is && was.length <= SHOWN_LENGTH && is.length <= SHOWN_LENGTH
      ? `${first} changed from ${was} to ${is}`
      : `${first} changed`;
  return others.length === 0
    ? shown
    : `${shown}, and ${others.length === 1 ? others[0] : `${others.length} other things`} too`;
}

/**
 * The verdict on one stage. `now` holds its ingredients as they are today; an ingredient that an earlier stage has yet
 * to make anew is not known before that stage has run, and is named in `pending`.
 */
export function verdict(
  recorded: Recorded | null,
  now: Ingredients,
  damage: readonly Damage[],
  pending: readonly string[],
): Verdict {
  if (recorded === null) return stale('never ran');
  const known = (before: Ingredients) => ({
    ...now,
    ...Object.fromEntries(pending.map(name => [name, before[name] ?? ''])),
  });
  const changesSince = (before: Ingredients) => {
    const names = changedNames(before, known(before));
    return {names, words: difference(names, before, known(before))};
  };
  const otherwise = recorded.begun === null ? null : changesSince(recorded.begun).words;
  const goesOn = otherwise === null ? 'goes on where it stopped' : `starts anew, since ${otherwise}`;
  if (recorded.status === 'running') return stale(`was cut short: ${goesOn}`);
  if (recorded.status === 'interrupted') return stale(`was interrupted: ${goesOn}`);
  if (recorded.status === 'failed') return stale(`failed: ${recorded.message?.split('\n')[0] ?? 'unknown reason'}`);
  const {names, words} = changesSince(recorded.ingredients ?? {});
  const [first] = damage;
  if (first)
    return stale(
      `${first.path} is ${first.kind === 'missing' ? 'missing' : 'not what was written'}${damage.length > 1 ? `, and ${damage.length - 1} more` : ''}`,
      {outdated: words !== null || pending.length > 0},
    );
  const changed = [...names, ...pending];
  if (words !== null) return stale(words, {changed});
  if (pending.length > 0)
    return stale(`follows ${[...new Set(pending.map(name => name.split('.')[0]))].join(' and ')}`, {changed});
  return {
    fresh: true,
    reason: recorded.status === 'skipped' ? 'skipped as asked, nothing changed' : 'nothing changed',
    outdated: false,
    changed: [],
  };
}
