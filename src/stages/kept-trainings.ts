/** Trainings are kept for whatever step, of whatever run, would train just so. */
import path from 'node:path';
import {z} from 'zod';
import {reading, taskResults, type TaskResult} from '../children/protocol.js';
import type {StageName} from '../events.js';
import {hashOf} from '../pipeline/file-hash.js';
import {findResult, placeFile} from '../pipeline/results.js';
import {isWhole, keep} from '../pipeline/sharing.js';
import type {StageContext} from './context.js';
import {readingsOf} from './curves.js';

/** In the place of a stage's name. */
const TRAINING = 'training';

const keptTraining = z.object({
  result: z.object(taskResults.train.shape),
  /** What stands of its readings. */
  curve: z.array(reading),
});

/** A step that trains, and where it leaves its weights. */
interface Of {
  readonly stage: StageName;
  readonly part: string;
  readonly output: string;
  readonly fingerprint: string;
}

export async function keepTraining(
  context: StageContext,
  {stage, part, output, fingerprint}: Of,
  {result, seconds}: {readonly result: TaskResult<'train'>; readonly seconds: number},
): Promise<void> {
  const {paths, store, signal} = context;
  const sha256 = await hashOf(output, store.hashes, signal);
  if (sha256 === null) throw new Error(`A training ended without leaving ${output}.`);
  const {steps, evaluations} = readingsOf(store, stage, part);
  const summary: z.infer<typeof keptTraining> = {result, curve: [...steps, ...evaluations]};
  const outputs = [{name: 'model', path: path.relative(paths.home, output), sha256}];
  await keep({stage: TRAINING, ingredients: {fingerprint}, status: 'done', seconds, summary, outputs}, [], context);
}

/** Makes a training that is kept the step's own, its curve included; null where there is none that is whole. */
export async function takeTraining(
  context: StageContext,
  {stage, part, output, fingerprint}: Of,
): Promise<TaskResult<'train'> | null> {
  const {store, emit} = context;
  const kept = await findResult(context, TRAINING, {fingerprint});
  if (kept === null || !(await isWhole(kept, context))) return null;
  const summary = keptTraining.safeParse(kept.summary).data;
  if (summary === undefined || !(await placeFile(kept, 'model', output, context))) return null;
  store.atomically(() => {
    // Nothing stands of what an earlier training of this step told.
    store.events.add({type: 'begun', stage, part, step: 0, epoch: 0});
    for (const one of summary.curve) store.events.add({...one, stage, part});
  });
  emit({
    type: 'note',
    stage,
    message: `not trained again: ${kept.run} has a training of the same recipe, data and number of steps`,
  });
  return summary.result;
}
