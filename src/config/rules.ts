/** What a checked config comes to: what `auto` means in it, and the settings that follow from several keys. */
import type {Architecture} from '../children/protocol.js';
import {UserError} from '../errors.js';
import type {Config, TrainingKeys} from './schema.js';

/** A step's own keys, over those that all share. */
type OwnKeys = {readonly [Key in keyof TrainingKeys]?: TrainingKeys[Key] | undefined};
type ModelName = Architecture['name'];

/**
 * Training settings that depend on the net. cifarnet: cifar10-airbench's; ResNets: torchvision's reference recipe, its
 * rate scaled with the batch.
 */
function recipe(name: ModelName, batchSize: number) {
  return name === 'cifarnet'
    ? {learningRate: batchSize / 128, warmup: 0.2, schedule: 'linear' as const, weightDecay: 1e-3}
    : {learningRate: (0.1 * batchSize) / 256, warmup: 0.05, schedule: 'cosine' as const, weightDecay: 5e-4};
}

const given = <Value>(value: Value | 'auto', otherwise: Value): Value => (value === 'auto' ? otherwise : value);

export const imageSizes = (config: Config, labelledIsCifar: boolean): {size: number; resize: number} => {
  const size = given(config.image.size, labelledIsCifar ? 32 : 224);
  return {size, resize: given(config.image.resize, size <= 64 ? size : Math.round((size * 8) / 7))};
};

/**
 * Throws (exit 2) where sizes and other keys cannot go together, all of it at once: a training would find out only when
 * its turn comes.
 */
export function checkSizes(config: Config, {size, resize}: {readonly size: number; readonly resize: number}): void {
  const mistakes: string[] = [];
  if (resize < size) mistakes.push(`image.resize is ${resize}; expected at least image.size, which is ${size}.`);
  for (const step of ['teacher', 'pretrain', 'finetune'] as const) {
    if (step === 'teacher' && config.teacher.file !== null) continue;
    const {model, augment} = trainingSettings(config, step, size);
    if (model === 'cifarnet' && size < 16)
      mistakes.push(
        `image.size is ${size}; expected 16 or more for ${step === 'teacher' ? 'teacher.model' : 'student.model'} cifarnet, which halves a picture three times.`,
      );
    if (augment.crop === 'shift' && augment.pad >= resize)
      mistakes.push(
        `${step}.pad (or train.pad) is ${augment.pad}; expected less than the ${resize} pixels of a picture.`,
      );
  }
  if (mistakes.length > 0) throw new UserError('BAD_CONFIG', [...new Set(mistakes)].join('\n'));
}

export const studentModel = (config: Config): ModelName => given(config.student.model, config.teacher.model);

/** The batch that learning rates belong to where the trainer finds the batch size itself. */
export const REFERENCE_BATCH = 256;

/**
 * A learning rate that belongs to the reference batch, for another: as the trainer scales it to the batch that it
 * finds.
 */
export const scaledRate = (learningRate: number, batchSize: number): number =>
  learningRate * (batchSize / REFERENCE_BATCH);

/** All that decides what one training step makes. `size` in pixels. */
export function trainingSettings(config: Config, step: 'teacher' | 'pretrain' | 'finetune', size: number) {
  const name = step === 'teacher' ? config.teacher.model : studentModel(config);
  const shared: TrainingKeys = config.train;
  const own: OwnKeys = config[step];
  const {epochs, learning_rate: learningRate} = config[step];
  const of = <Key extends keyof TrainingKeys>(key: Key): TrainingKeys[Key] => {
    const value: TrainingKeys[Key] | undefined = own[key];
    return value === undefined ? shared[key] : value;
  };
  const batchSize = of('batch_size');
  const defaults = recipe(name, given(batchSize, REFERENCE_BATCH));
  const base = given(step === 'teacher' ? learningRate : config.pretrain.learning_rate, defaults.learningRate);
  return {
    model: name,
    stem: size <= 64 ? ('small' as const) : ('imagenet' as const),
    /** Null: see stages/training-length.ts. */
    epochs: epochs === 'auto' ? null : epochs,
    evaluations: of('evaluations'),
    /** Null: the trainer finds the largest that fits. */
    batchSize: batchSize === 'auto' ? null : batchSize,
    learningRate: step === 'finetune' ? given(learningRate, base / 10) : base,
    warmup: given(of('warmup'), defaults.warmup),
    schedule: given(of('schedule'), defaults.schedule),
    momentum: of('momentum'),
    weightDecay: given(of('weight_decay'), defaults.weightDecay),
    labelSmoothing: of('label_smoothing'),
    precision: of('precision'),
    ema: of('ema'),
    augment: {
      flip: of('flip'),
      crop: given(of('crop'), size <= 64 ? 'shift' : 'resized'),
      pad: given(of('pad'), Math.min(4, Math.floor(size / 8))),
      minArea: of('min_area'),
      policy: of('augment'),
      strength: of('strength'),
      cutout: of('cutout'),
      mix: of('mix'),
      mixAlpha: of('mix_alpha'),
    },
  };
}

/** What the student's pre-training makes of the teacher's answers. */
export function pseudoLabels(config: Config) {
  const {targets, temperature, rest, balanced, labelled_share: labelledShare} = config.pretrain;
  return {targets, temperature, rest, balanced, labelledShare};
}

/** All other steps learn from plain labels. */
export const plainLabels: ReturnType<typeof pseudoLabels> = {
  targets: 'hard',
  temperature: 1,
  rest: 'spread',
  balanced: false,
  labelledShare: 0,
};

/** Images at once in evaluations, which run on one device, in float32 and without gradients. */
export const evaluationBatch = (config: Config): number =>
  Math.min(REFERENCE_BATCH, given(config.train.batch_size, REFERENCE_BATCH));

/** Classes kept an image in the score files: enough that P up to 10 can change without scoring again. */
export const classesKept = (config: Config, classes: number): number =>
  Math.min(classes, Math.max(10, given(config.select.top_p, 0)));
