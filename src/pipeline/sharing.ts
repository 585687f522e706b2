/** What runs of a home share: what one has made is kept, and taken by another that needs just that. */
import path from 'node:path';
import {setTimeout} from 'node:timers/promises';
import {throwIfStopped} from '../errors.js';
import type {Emit, StageName} from '../events.js';
import {recordRows} from './record.js';
import {
  damageOfResult,
  discardResult,
  keepResult,
  placeResult,
  ResultGone,
  withinRun,
  type Finished,
  type RunHandle,
  type Result,
} from './results.js';
import type {Ingredients, Stage} from './stage.js';
import type {OwnRows} from '../store/stage-rows.js';

/** Who keeps or takes a result tells what stands in the way of it. */
export interface TellingRun extends RunHandle {
  readonly emit: Emit;
}

export interface SharingContext extends TellingRun {
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
  if (!(await isWhole(kept, context))) return false;
  const {store} = context;
  const before = (store.stages.read(stage.name)?.outputs ?? []).flatMap(output => output.path ?? []);
  store.stages.forget(stage.name);
  if (!(await placeWhole(kept, stage.ownRows ?? [], context, before))) return false;
  await stage.relocate?.(context);
  return true;
}

/** Whether a result is as it was kept: else it is dropped, which is told. */
export async function isWhole(kept: Result, context: TellingRun): Promise<boolean> {
  const damage = await damageOfResult(kept, context);
  if (damage === null) return true;
  await discardResult(kept, context.store);
  context.emit({
    type: 'note',
    stage: null,
    message: `what was kept of ${kept.stage} is not what was written, and is no more: ${damage}`,
  });
  return false;
}

/**
 * Puts a result where a run has it, in the place of these files; returns whether it was there to the end. Nobody vouches
 * for it yet.
 */
export async function placeWhole(
  kept: Result,
  rows: readonly OwnRows[],
  context: TellingRun,
  before: readonly string[] = [],
): Promise<boolean> {
  try {
    tellOfCopies(await placeResult(kept, context, {rows, before}), context.emit);
    return true;
  } catch (error) {
    // Somebody removed it meanwhile, who found that no run needs it.
    if (error instanceof ResultGone) return false;
    throw error;
  }
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

/** Keeps the result that the run has of a stage, where it is not kept yet. */
export async function keepFinished(stage: Pick<Stage<never>, 'name' | 'ownRows'>, context: TellingRun): Promise<void> {
  const recorded = context.store.stages.read(stage.name);
  if (recorded?.ingredients == null || (recorded.status !== 'done' && recorded.status !== 'skipped')) return;
  const {ingredients, status, seconds, summary, outputs} = recorded;
  await keep({stage: stage.name, ingredients, status, seconds, summary, outputs}, stage.ownRows ?? [], context);
}

/** Keeps what was made. That it cannot be kept is told, and no reason for the run not to go on: it has it. */
export async function keep(finished: Finished, rows: readonly OwnRows[], context: TellingRun): Promise<void> {
  const {signal, emit} = context;
  try {
    tellOfCopies(await keepResult(context, finished, rows), emit);
  } catch (error) {
    throwIfStopped(signal);
    const {message} = error instanceof Error ? error : new Error(String(error));
    emit({
      type: 'warning',
      stage: null,
      message: `what ${finished.stage} made cannot be kept for other runs: ${message}`,
    });
  }
}

function tellOfCopies({linked}: {readonly linked: boolean}, emit: Emit): void {
  if (linked) return;
  emit({
    type: 'note',
    stage: null,
    message: 'what runs share was copied, because this file system links no files: it takes its room twice',
  });
}
