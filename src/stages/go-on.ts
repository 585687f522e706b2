/** Where nothing that is kept is just what a run needs, it may go on from what is next to it. */
import path from 'node:path';
import {allResults, filesOf, type Result} from '../pipeline/results.js';
import {isWhole, placeWhole} from '../pipeline/sharing.js';
import type {Ingredients} from '../pipeline/stage.js';
import {compareTables, type IdTable} from '../pool/id-table.js';
import type {OwnRows} from '../store/stage-rows.js';
import type {StageContext} from './context.js';
import {poolIndex} from './pool-files.js';

/** The ingredients that tell which sources there are, and in which state. */
const OF_SOURCES = /^(files of )?(labelled|validation|test|unlabelled\[\d+\])$/;

/** A run that has listed nothing goes on from the listings of the run that has most sources in common with it. */
export async function goOnFromListings(
  context: StageContext,
  ingredients: Ingredients,
  rows: readonly OwnRows[],
): Promise<boolean> {
  const valuesOf = (of: Ingredients) => Object.keys(of).flatMap(name => (OF_SOURCES.test(name) ? [of[name]!] : []));
  const likeness = ({ingredients: other}: Result) => {
    const others = new Set(valuesOf(other));
    return valuesOf(ingredients).filter(value => others.has(value)).length;
  };
  return (await goOnFrom(context, 'prepare', rows, kept => Promise.resolve(likeness(kept)))) !== null;
}

/**
 * Takes over the scores that another run has of this one's pool, or that it had itself, where those are of more than
 * `scored` pictures. Returns the shards that hold any of the pool; null where it took none.
 */
export async function goOnFromScores(
  context: StageContext,
  ingredients: Ingredients,
  rows: readonly OwnRows[],
  scored: number,
): Promise<ReadonlySet<number> | null> {
  const isSame = (other: Ingredients) =>
    Object.keys(ingredients).every(name => name === 'prepare.pool' || ingredients[name] === other[name]);
  const {images, table} = poolIndex(context);
  if (scored === images) return null;
  const shards = new Map<Result, ReadonlySet<number>>();
  const taken = await goOnFrom(
    context,
    'score',
    rows,
    async kept => {
      const assigned = isSame(kept.ingredients) ? assignedIn(kept) : null;
      if (assigned === null) return 0;
      const {stayed, numbers} = await compareTables(table, assigned);
      shards.set(kept, numbers);
      return stayed;
    },
    scored,
  );
  return taken === null ? null : (shards.get(taken) ?? null);
}

/** The table of shards that a kept scoring has. */
function assignedIn(kept: Result): IdTable | null {
  const files = filesOf(kept, 'assigned');
  const [first] = files;
  return first === undefined ? null : {folder: path.dirname(first), bits: Math.log2(files.length), rows: 0, digest: ''};
}

/** Puts the result of which most is of use where the run has it; among equals the latest. */
async function goOnFrom(
  context: StageContext,
  stage: 'prepare' | 'score',
  rows: readonly OwnRows[],
  useOf: (kept: Result) => Promise<number>,
  least = 0,
): Promise<Result | null> {
  const {paths, store, emit} = context;
  const candidates = (await allResults(paths.home, stage))
    .filter(({version}) => version === store.version)
    .sort((a, b) => (a.finishedAt < b.finishedAt ? 1 : -1));
  let best: {kept: Result; use: number} | null = null;
  for (const kept of candidates) {
    const use = await useOf(kept);
    if (use > (best?.use ?? least)) best = {kept, use};
  }
  if (best === null || !(await isWhole(best.kept, context)) || !(await placeWhole(best.kept, rows, context)))
    return null;
  const of = best.kept.run === paths.run ? 'it had before' : `${best.kept.run} has`;
  emit({type: 'note', stage, message: `${stage} goes on from what ${of}`});
  return best.kept;
}
