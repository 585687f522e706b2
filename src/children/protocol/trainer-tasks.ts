/** What the trainer is told; trainer/tasks.py is written from it (scripts/protocol.mjs). */
import {z} from 'zod';
import {device, fraction, path, positive, task, count} from './primitives.js';

export const modelNames = [
  'cifarnet',
  'resnet18',
  'resnet34',
  'resnet50',
  'resnet101',
  'resnet152',
  'resnext50_32x4d',
  'resnext101_32x4d',
  'resnext101_32x8d',
  'resnext101_32x16d',
  'resnext101_32x32d',
  'resnext101_32x48d',
  'wrn-28-2',
  'wrn-28-8',
  'wrn-28-10',
  'resnet20',
  'resnet32',
  'resnet44',
  'resnet56',
  'resnet110',
] as const;
const architecture = z
  .strictObject({
    name: z.enum(modelNames).meta({id: 'ModelName'}),
    /**
     * Of ResNets and ResNeXts; `small`: 3x3 stride 1 and no max-pool, for 32 px; `imagenet`: 7x7 stride 2 and max-pool.
     * The others have their own.
     */
    stem: z.enum(['small', 'imagenet']),
    size: positive,
    resize: positive,
    classes: z.array(z.string()).min(2),
  })
  .meta({id: 'Architecture'});
export type Architecture = z.infer<typeof architecture>;
const trainerRun = {device, threads: positive, seed: z.int().nonnegative()};
/** Pixels as an ONNX file from elsewhere takes them: bytes, or normalised floats. */
export const inputLayouts = ['uint8_nhwc', 'uint8_nchw', 'float_nhwc', 'float_nchw'] as const;
/** What such a file answers for each class. */
export const outputKinds = ['logits', 'probabilities', 'log_probabilities'] as const;
const channels = z.array(z.number()).length(3);
const deviations = z.array(z.number().positive()).length(3);

const trainTask = z.strictObject({
  ...task,
  ...trainerRun,
  task: z.literal('train'),
  /** A checkpoint goes on only where it carries the same fingerprint. */
  fingerprint: z.string().min(1),
  architecture,
  trainPack: path,
  /**
   * `soft`: the teacher's answers that the pack holds, evened out by `temperature`; what they leave out is spread over
   * the other classes, or dropped.
   */
  targets: z.enum(['hard', 'soft']),
  temperature: z.number().positive(),
  rest: z.enum(['spread', 'drop']),
  /** Samples of short classes are repeated until every class has as many as the largest. */
  balanced: z.boolean(),
  /** Plain labelled pictures, of which each batch has so large a share. */
  labelledPack: path.nullable(),
  labelledShare: z.number().min(0).lt(1),
  validationPack: path,
  /** Weights to start from (the pre-trained student's); null: from scratch. */
  init: path.nullable(),
  epochs: positive,
  /** Validation is measured this many times, evenly spread over the epochs, the last one always. */
  evaluations: positive,
  /** Null: the largest that fits. The learning rate is then that of a batch of 256, and scales with it. */
  batchSize: positive.nullable(),
  learningRate: z.number().positive(),
  /** Share of all steps over which the rate rises linearly from 0. */
  warmup: fraction,
  schedule: z.enum(['cosine', 'linear']),
  momentum: fraction,
  weightDecay: z.number().nonnegative(),
  labelSmoothing: fraction,
  precision: z.enum(['auto', 'fp32', 'bf16']),
  augment: z
    .strictObject({
      flip: z.boolean(),
      /**
       * `shift`: random crop after reflecting `pad` pixels; `resized`: RandomResizedCrop of the packed picture; `none`.
       */
      crop: z.enum(['none', 'shift', 'resized']),
      pad: count,
      /** Smallest share of the area that RandomResizedCrop may keep. */
      minArea: fraction,
      policy: z.enum(['none', 'trivial', 'rand']),
      strength: z.number().min(0).max(30),
      /** Side of the blanked square, as a share of the picture's. */
      cutout: fraction,
      mix: z.enum(['none', 'mixup', 'cutmix']),
      mixAlpha: z.number().positive(),
    })
    .meta({id: 'Augment'}),
  /** Decay of the moving average of the weights; 0: none. */
  ema: z.number().min(0).lt(1),
  compile: z.boolean(),
  checkpoint: path,
  checkpointMinutes: z.number().positive(),
  /** A folder for TensorBoard's event files. */
  tensorboard: path.nullable(),
  output: path,
});
const exportTask = z.strictObject({
  ...task,
  ...trainerRun,
  task: z.literal('export'),
  model: path,
  /** Divides the logits before the softmax; null: fitted on the validation pack. */
  temperature: z.number().positive().nullable(),
  kept: positive,
  batchSize: positive,
  validationPack: path,
  /** The ONNX file. */
  output: path,
  /** Where PyTorch's own answers on the validation pack go. */
  reference: path,
});
const evaluateTask = z.strictObject({
  ...task,
  ...trainerRun,
  task: z.literal('evaluate'),
  models: z
    .array(z.strictObject({name: z.string(), model: path, temperature: z.number().positive()}).meta({id: 'NamedModel'}))
    .min(1),
  pack: path,
  batchSize: positive,
  /** Also measure the mean answer to a picture and its mirror image. */
  flip: z.boolean(),
});
const importTask = z.strictObject({
  ...task,
  ...trainerRun,
  task: z.literal('import'),
  /** .safetensors, .pt or .pth from elsewhere. */
  file: path,
  architecture,
  /** Names of the checkpoint's outputs, in its order; null: those in its metadata. */
  fileClasses: z.array(z.string()).nullable(),
  /**
   * Of red, green and blue in 0..1, as the checkpoint's net is used to; null: what its metadata say, else ImageNet's.
   */
  mean: channels.nullable(),
  std: deviations.nullable(),
  output: path,
});
/**
 * Puts an ONNX file from elsewhere behind the signature that `export` gives its own: raw pixels in, top-P classes out.
 */
const wrapTask = z.strictObject({
  ...task,
  ...trainerRun,
  task: z.literal('wrap'),
  file: path,
  size: positive,
  resize: positive,
  classes: z.array(z.string()).min(2),
  fileClasses: z.array(z.string()).nullable(),
  mean: channels.nullable(),
  std: deviations.nullable(),
  input: z.enum(['auto', ...inputLayouts]),
  answer: z.enum(['auto', ...outputKinds]),
  temperature: z.number().positive(),
  kept: positive,
  output: path,
});
/** Makes a faster form of an exported ONNX file, calibrated on a pack. */
const quantiseTask = z.strictObject({
  ...task,
  device,
  task: z.literal('quantise'),
  model: path,
  precision: z.enum(['int8', 'fp16']),
  /** Of int8: whether the first and the last layer stay in float32. */
  endsInFloat: z.boolean(),
  classes: z.array(z.string()).min(2),
  calibrationPack: path,
  output: path,
});
/** A few real steps on random pixels: how fast this machine trains and scores with a network. */
const speedTask = z.strictObject({
  ...task,
  ...trainerRun,
  task: z.literal('speed'),
  architecture,
  batchSize: positive.nullable(),
  precision: trainTask.shape.precision,
});
const trainerProbeTask = z.strictObject({...task, task: z.literal('probe'), device: z.string()});

export const trainerTask = z.discriminatedUnion('task', [
  trainTask,
  exportTask,
  evaluateTask,
  importTask,
  wrapTask,
  quantiseTask,
  speedTask,
  trainerProbeTask,
]);
export type TrainerTask = z.infer<typeof trainerTask>;
