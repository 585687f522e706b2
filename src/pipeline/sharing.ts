/** What runs of a home share: what one has made is kept, and taken by another that needs just that. */
import path from 'node:path';
import {setTimeout} from 'node:timers/promises';
import {throwIfStopped} from '../errors.js';
import type {Emit, StageName} from '../events.js';
import {recordRows} from './record.js';
import {
  allResults,
  damageOfResult,
  discardResult,
  keepResult,
  placeResult,
  withinRun,
  type Place,
  type Result,
} from './results.js';
import type {Ingredients, Stage} from './stage.js';

export interface SharingContext extends Place {
  readonly emit: Emit;
  /**
   * The other run of the home that makes this result just now; where this run has begun to make it, too, only one that
   * did so before. Null where there is none.
   */
  readonly makerOf: (stage: StageName, ingredients: Ingredients, startedAt: string | null) => string | null;
}

/** Makes a result that is kept the run's own. Returns whether it is: not where it is damaged, which is told. */
export async function take<Context extends SharingContext>(
  kept: Result,
  stage: Stage<Context>,
  context: Context,
): Promise<boolean> {
  const {store, paths} = context;
  if (!(await place(kept, stage, context))) return false;
  store.stages.finish({
    name: stage.name,
    status: kept.status,
    ingredients: kept.ingredients,
    seconds: kept.seconds,
    summary: kept.summary,
    outputs: [
      ...kept.outputs
        .filter(({name, file}) => file !== null || !(name in (stage.rows ?? {})))
        .map(({name, file, sha256}) => ({
          name,
          path: file === null ? null : path.relative(paths.home, withinRun(paths, file)),
          sha256,
        })),
      ...recordRows(stage, store),
    ],
  });
  return true;
}

/** Takes back what the stage vouched for, and puts a result in its place that nobody vouches for yet. */
async function place<Context extends SharingContext>(
  kept: Result,
  stage: Stage<Context>,
  context: Context,
): Promise<boolean> {
  const {store, emit} = context;
  const damage = await damageOfResult(kept, context);
  if (damage !== null) {
    await discardResult(kept);
    emit({
      type: 'note',
      stage: stage.name,
      message: `what was kept of ${stage.name} is not what was written, and is no more: ${damage}`,
    });
    return false;
  }
  store.stages.forget(stage.name);
  tellOfCopies(await placeResult(kept, context, stage.ownRows ?? []), stage.name, emit);
  await stage.settle?.(context);
  return true;
}

const LOOK_AGAIN_MS = 1000;

/** Waits while another run makes what this stage would come to. Returns whether one did. */
export async function waitForMaker(
  stage: StageName,
  ingredients: Ingredients,
  {makerOf, emit, signal}: SharingContext,
): Promise<boolean> {
  let waited = false;
  for (let maker = makerOf(stage, ingredients, null); maker !== null; maker = makerOf(stage, ingredients, null)) {
    if (!waited) emit({type: 'note', stage, message: `waiting for ${maker}, which is making just this`});
    waited = true;
    throwIfStopped(signal);
    await setTimeout(LOOK_AGAIN_MS, undefined, {signal}).catch(() => {});
  }
  return waited;
}

/** A run that has nothing of a stage goes on from what is most like what it needs, where that is of use. */
export async function startFromAlike<Context extends SharingContext>(
  stage: Stage<Context>,
  ingredients: Ingredients,
  context: Context,
): Promise<void> {
  const {paths, store, emit} = context;
  if (stage.likeness === undefined) return;
  let best: {kept: Result; likeness: number} | null = null;
  for (const kept of await allResults(paths.home, stage.name)) {
    const likeness = kept.version === store.version ? stage.likeness(ingredients, kept.ingredients) : null;
    if (likeness === null) continue;
    const better =
      best === null ||
      likeness > best.likeness ||
      (likeness === best.likeness && kept.finishedAt > best.kept.finishedAt);
    if (better) best = {kept, likeness};
  }
  if (best === null || !(await place(best.kept, stage, context))) return;
  emit({type: 'note', stage: stage.name, message: `${stage.name} goes on from what ${best.kept.run} has`});
}

/** Keeps the result that the run has of a stage, where it is not kept yet. */
export async function keepFinished(
  stage: Pick<Stage<never>, 'name' | 'ownRows'>,
  context: SharingContext,
): Promise<void> {
  const recorded = context.store.stages.read(stage.name);
  if (recorded?.ingredients == null || (recorded.status !== 'done' && recorded.status !== 'skipped')) return;
  const {ingredients, status, seconds, summary, outputs} = recorded;
  const finished = {stage: stage.name, ingredients, status, seconds, summary, outputs};
  tellOfCopies(await keepResult(context, finished, stage.ownRows ?? []), stage.name, context.emit);
}

function tellOfCopies({linked}: {readonly linked: boolean}, stage: StageName, emit: Emit): void {
  if (linked) return;
  emit({
    type: 'note',
    stage,
    message: 'what runs share was copied, because this file system links no files: it takes its room twice',
  });
}
