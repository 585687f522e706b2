/** How the pool would change if it were listed now: told by where pictures lie, since none of them is opened. */
import {hash} from 'node:crypto';
import type {StageName} from '../events.js';
import type {RunPaths} from '../home.js';
import {listedImages} from '../pool/listing-files.js';
import type {RunContext} from '../stages/context.js';
import {listingFolder} from '../stages/pool-files.js';
import {placeOf, takeRecord} from '../stages/sources.js';
import type {SourceRecord} from '../store/images.js';
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
export async function poolOutlook({store, paths, sources, signal}: RunContext): Promise<PoolOutlook | null> {
  const recorded = store.images.sources().filter(({listing}) => listing !== null);
  if (recorded.length === 0) return null;
  let [added, left, listedAnew] = [0, 0, 0];
  for (const source of sources) {
    const before = takeRecord(recorded, source);
    if (before !== undefined && before.listing?.snapshot === (await source.snapshot())) continue;
    const isPool = source.role === 'unlabelled';
    const known = isPool && before !== undefined ? await knownPlaces(paths, before) : new Float64Array();
    let [found, stayed] = [0, 0];
    for await (const lot of (await source.open()).entries(signal))
      for (const entry of lot) {
        if (entry.problem !== null) continue;
        found++;
        if (isPool && holds(known, hashOf(placeOf(entry)))) stayed++;
      }
    listedAnew += found;
    if (!isPool) continue;
    left += Math.max(0, known.length - stayed);
    added += found - stayed;
  }
  for (const {role, listing} of recorded) if (role === 'unlabelled') left += sum(listing?.chunks ?? []);
  return {images: store.pool.size() - left + added, added, left, listedAnew};
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0);

/** The places that a source listed, as hashes in ascending order: a pool may have millions. */
async function knownPlaces(paths: RunPaths, {folder, listing}: SourceRecord): Promise<Float64Array> {
  const chunks = listing?.chunks ?? [];
  const hashes = new Float64Array(sum(chunks));
  let row = 0;
  if (folder !== null)
    for await (const image of listedImages(listingFolder(paths, folder), chunks.length))
      hashes[row++] = hashOf(placeOf(image));
  return hashes.sort();
}

/** 53 bits of a text. */
const hashOf = (text: string): number => Number(hash('md5', text, 'buffer').readBigUInt64LE() >> 11n);

function holds(sorted: Float64Array, value: number): boolean {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (sorted[middle]! < value) from = middle + 1;
    else to = middle;
  }
  return sorted[from] === value;
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
export const unscored = ({added}: PoolOutlook, {pool}: RunContext['store']): number => added + pool.change().added;

/** Whether score would run only for what joins the pool, since all that was scored before stands. */
export const scoresStand = (plan: readonly Planned<RunContext>[]): boolean =>
  plan.some(
    ({stage, verdict: {changed}}) =>
      stage.name === 'score' && changed.length > 0 && changed.every(name => name === 'prepare.pool'),
  );
