/** How the pool would change if it were listed now: told by where pictures lie, since none of them is opened. */
import type {StageName} from '../events.js';
import type {RunContext} from '../stages/context.js';
import {placeOf, takeRecord} from '../stages/sources.js';
import type {Planned} from '../pipeline/run.js';
import {count, plural} from '../words.js';

export interface PoolOutlook {
  /** Pictures that the pool would hold. */
  readonly images: number;
  /** Of those, how many lie where none lay; some may turn out to be known under another name. */
  readonly added: number;
  readonly left: number;
  /** How many pictures lie in sources that would be listed anew, of whatever set. */
  readonly listedAnew: number;
}

/** Null where nothing was listed before. */
export async function poolOutlook({store, sources, signal}: RunContext): Promise<PoolOutlook | null> {
  const recorded = store.images.sources().filter(({listing}) => listing !== null);
  if (recorded.length === 0) return null;
  let [added, left, listedAnew] = [0, 0, 0];
  for (const source of sources) {
    const before = takeRecord(recorded, source);
    if (before !== undefined && before.listing?.snapshot === (await source.snapshot())) continue;
    const known = new Set<string>();
    if (before !== undefined) for (const listed of store.images.listed(before.key)) known.add(placeOf(listed));
    const wasKnown = known.size;
    let found = 0;
    for await (const entry of (await source.open()).entries(signal)) {
      if (entry.problem !== null) continue;
      found++;
      known.delete(placeOf(entry));
    }
    listedAnew += found;
    if (source.role !== 'unlabelled') continue;
    left += known.size;
    added += found - (wasKnown - known.size);
  }
  for (const {role, key} of recorded) if (role === 'unlabelled') left += [...store.images.listed(key)].length;
  return {images: store.images.poolSize() - left + added, added, left, listedAnew};
}

/** "1,000 pictures are new, 3 are gone"; null where the pool holds what it held. */
function outlookWords({added, left}: PoolOutlook): string | null {
  if (added + left === 0) return null;
  return [
    ...(added > 0 ? [`${plural(added, 'picture')} of the pool ${added === 1 ? 'is' : 'are'} new`] : []),
    ...(left > 0 ? [`${count(left)} ${left === 1 ? 'is' : 'are'} gone`] : []),
  ].join(', ');
}

/** "1,000 of 41,000 pictures are new": what there is to score where all that was scored before stands. */
const toScoreWords = ({added, images}: Pick<PoolOutlook, 'added' | 'images'>): string =>
  added === 0
    ? 'no picture is new'
    : `${count(added)} of ${plural(images, 'picture')} ${added === 1 ? 'is' : 'are'} new`;

/**
 * The reasons of stages that run because the pool changed, in numbers: of prepare, and of score where all that was
 * scored before stands. `outlook` is what prepare would find.
 */
export function reasonsInNumbers(
  plan: readonly Planned<RunContext>[],
  outlook: PoolOutlook | null,
  store: RunContext['store'],
): Partial<Record<StageName, string>> {
  if (outlook === null) return {};
  const preparing = plan.some(({stage, verdict}) => stage.name === 'prepare' && !verdict.fresh);
  const prepare = preparing ? outlookWords(outlook) : null;
  return {
    ...(prepare !== null && {prepare}),
    ...(scoresStand(plan) && {score: toScoreWords({...outlook, added: unscored(outlook, store)})}),
  };
}

/** Pictures that the pool would hold, and that were not scored: those that are listed already, and those that are not. */
export const unscored = ({added}: PoolOutlook, {images}: RunContext['store']): number =>
  added + images.poolChange().added;

/** Whether score would run only for what joins the pool, since all that was scored before stands. */
export const scoresStand = (plan: readonly Planned<RunContext>[]): boolean =>
  plan.some(
    ({stage, verdict: {changed}}) =>
      stage.name === 'score' && changed.length > 0 && changed.every(name => name === 'prepare.pool'),
  );
