/**
 * The three training steps and the baseline are one trainer task with different settings: this builds it, and runs it.
 */
import {createHash} from 'node:crypto';
import path from 'node:path';
import {PROTOCOL, toWire, type Architecture, type TaskOf, type TaskResult} from '../children/protocol.js';
import {joinCommand} from '../children/trainer.js';
import {plainLabels, pseudoLabels, scaledRate, trainingSettings} from '../config/rules.js';
import type {StageName} from '../events.js';
import type {RunContext, StageContext} from './context.js';
import type {Ingredients} from '../pipeline/stage.js';
import {told, type Setting} from './define.js';
import {imageSize, type ImageSizes} from './image-settings.js';
import {keepTraining, takeTraining} from './kept-trainings.js';
import {runTrainer} from './tasks.js';
import {tellingOfHours} from './long-training.js';

export type TrainingStep = 'teacher' | 'pretrain' | 'finetune';

/** What a training step makes of its pictures, in all that is set. */
export interface StepSettings {
  readonly seed: number;
  readonly sizes: ImageSizes;
  readonly training: ReturnType<typeof trainingSettings>;
  readonly labels: ReturnType<typeof pseudoLabels>;
}

/**
 * The settings of a training step, known under the names that they have here: mostly those of the config's keys
 * (`augment` is `policy`). Other names, or one more, would make every recorded training stale.
 */
export function stepSettings(given: RunContext, step: TrainingStep): Setting<StepSettings> {
  const {config} = given;
  const {value, ingredients} = recipeOf(given, step);
  // Where they are left to pupil, the teacher's decide them: see training-length.ts.
  const epochs = value.training.epochs ?? `auto, of ${config.teacher.epochs} for the teacher`;
  const labels = step === 'pretrain' ? pseudoLabels(config) : plainLabels;
  return told({...value, labels}, {...ingredients, epochs: String(epochs), ...(step === 'pretrain' && named(labels))});
}

/** The same but for how long it trains, and on which kind of labels. */
export function recipeOf(
  {config, size, resize}: RunContext,
  step: TrainingStep,
): Setting<Omit<StepSettings, 'labels'>> {
  const training = trainingSettings(config, step, size);
  const {augment, ...settings} = training;
  const recipe = Object.entries({...settings, ...augment}).filter(([key]) => key !== 'epochs');
  return told(
    {seed: config.seed, sizes: {size, resize}, training},
    {...named(Object.fromEntries(recipe)), seed: String(config.seed), ...imageSize({size, resize}).ingredients},
  );
}

const named = (values: object): Ingredients =>
  Object.fromEntries(
    Object.entries(values).map(([key, value]) => [
      key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`),
      String(value),
    ]),
  );

/** The network that a step trains, for this run's classes. */
export const architectureOf = (
  {store}: Pick<StageContext, 'store'>,
  {size, resize}: ImageSizes,
  {model, stem}: {readonly model: Architecture['name']; readonly stem: Architecture['stem']},
): Architecture => ({name: model, stem, size, resize, classes: store.images.classes()});

export interface Training {
  readonly stage: StageName;
  /** Empty where the stage trains once. */
  readonly part: string;
  readonly settings: StepSettings;
  /** models/RUN/FOLDER gets model.safetensors and checkpoint.pt. */
  readonly folder: string;
  readonly trainPack: string;
  /** Weights to start from; null: from scratch. */
  readonly init: string | null;
  /** Instead of the step's own, which pre-training may leave open. */
  readonly epochs?: number;
  /** Instead of one that the trainer would find. */
  readonly batchSize?: number;
  /** Digests of what is trained on and started from: a checkpoint of other data must not go on. */
  readonly inputs: readonly string[];
}

/**
 * Raise it when the trainer would make other weights of the same settings and data: what an earlier one left is then
 * not gone on from.
 */
const TRAINING_VERSION = 2;

/** What decides the weights that a training ends with, and the hash of it. */
function decidedBy(context: StageContext, {settings: given, batchSize, inputs, ...training}: Training) {
  const {device} = context;
  const {seed, sizes, labels} = given;
  const {model, stem, ...numbers} = given.training;
  const epochs = training.epochs ?? numbers.epochs;
  if (epochs === null) throw new Error('A training was started without a number of epochs.');
  const settings = {
    seed,
    architecture: architectureOf(context, sizes, {model, stem}),
    ...numbers,
    ...labels,
    epochs,
    ...(batchSize !== undefined &&
      numbers.batchSize === null && {batchSize, learningRate: scaledRate(numbers.learningRate, batchSize)}),
  };
  // Of settings and data, not of paths, so that it is the same in every run.
  const fingerprint = createHash('sha256')
    .update(toWire({version: TRAINING_VERSION, ...settings, device: device.startsWith('cuda') ? 'cuda' : 'cpu'}))
    .update(inputs.join('\n'))
    .digest('hex');
  return {settings, fingerprint};
}

/**
 * Trains to the end, or goes on from the checkpoint of an interrupted attempt with the same settings and data. A training
 * that ended so before, of whichever step and run, is taken as it is.
 */
export async function train(context: StageContext, asked: Training): Promise<TaskResult<'train'>> {
  const {paths, device, threads, handling} = context;
  const {stage, part, folder, trainPack, init} = asked;
  const {settings, fingerprint} = decidedBy(context, asked);
  const output = paths.model(folder, 'model.safetensors');
  const training = {stage, part, output, fingerprint};
  const taken = await takeTraining(context, training);
  if (taken !== null) return taken;
  const task: TaskOf<'train'> = {
    protocol: PROTOCOL,
    task: 'train',
    device,
    threads,
    fingerprint,
    ...settings,
    trainPack: paths.pack(trainPack),
    labelledPack: settings.labelledShare > 0 ? paths.pack('train') : null,
    validationPack: paths.pack('validation'),
    init,
    compile: handling.compile,
    checkpoint: paths.model(folder, 'checkpoint.pt'),
    checkpointMinutes: handling.checkpointMinutes,
    tensorboard: handling.tensorboard ? path.join(paths.data, 'tensorboard', folder) : null,
    output,
  };
  const started = performance.now();
  tellOtherHosts(context, stage);
  const listening =
    device === 'cpu' ? {...context, emit: tellingOfHours(context.emit, {stage, advice: ON_A_CPU})} : context;
  const result = await runTrainer<'train'>(listening, task, {stage, part, processes: context.processes});
  await keepTraining(context, training, {result, seconds: (performance.now() - started) / 1000});
  return result;
}

/** What of a training decides how long one of equal length is. */
export const lengthOf = ({steps, batchSize}: TaskResult<'train'>): string => `${steps} steps of ${batchSize}`;

const ON_A_CPU =
  'On a CPU small pictures and a small network take minutes instead: --set image.size=64 --set teacher.model=cifarnet. See pupil orchestrate --dry-run.';

/**
 * What is started on the other hosts serves every training from then on, so whoever reads it twice has nothing to do
 * the second time.
 */
function tellOtherHosts({processes, python, emit}: StageContext, stage: StageName): void {
  if (processes.hosts === 1 || python === null) return;
  emit({
    type: 'warning',
    stage,
    message: `whoever reaches ${processes.address}, or the ports that gloo and NCCL open on that network, can change what is learned and may run code on these machines: nothing there asks who is calling. Keep it to a network that you trust`,
  });
  const commands = Array.from(
    {length: processes.hosts - 1},
    (_, index) => `\n  ${joinCommand(python, processes, index + 1)}`,
  );
  emit({
    type: 'note',
    stage,
    message: `waiting for the other ${processes.hosts === 2 ? 'host' : `${processes.hosts - 1} hosts`}; where it does not run yet, start there${processes.hosts === 2 ? '' : ', one on each'}:${commands.join('')}`,
  });
}
