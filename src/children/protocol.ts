/**
 * The messages between the orchestrator and its two children, as zod schemas: what each task is told, and what it
 * answers.
 *
 * A task is a config file. The trainer is started with its path, for one task; the image worker reads on stdin of one
 * task after the other: the path as JSON, descriptors a line each, an empty line. Both answer with NDJSON events on file
 * descriptor 3. On the wire every key is snake_case; here and inside TypeScript camelCase. What the trainer is told is
 * written from here for Python (scripts/protocol.mjs).
 */
import {z} from 'zod';
import {errorCodeNames} from '../errors.js';
import {printableJson} from '../printable.js';

export const PROTOCOL = 1;

const count = z.int().nonnegative();
const positive = z.int().positive();
const fraction = z.number().min(0).max(1);
const finite = z.number();
/** Told apart from other texts for Python's side, which makes a Path of it: see scripts/protocol.mjs. */
const path = z.string().min(1).meta({kind: 'path'});
/**
 * Lowercase hex of the first 12 bytes (24 digits) of a SHA-256: of the file's bytes, or of the pixels of a CIFAR
 * record.
 */
const imageId = z.string().regex(/^[0-9a-f]{24}$/);

// ---------------------------------------------------------------- what both speak of

/** Why an image was set aside. */
export const quarantineCodes = [
  'EMPTY_FILE',
  'NOT_AN_IMAGE',
  'TRUNCATED',
  'CORRUPT',
  'FORMAT_BLOCKED',
  'TOO_MANY_PIXELS',
  'FILE_TOO_LARGE',
  'DECODE_TIMEOUT',
  'DEGENERATE_SIZE',
  'UNREADABLE',
  'NOT_A_FILE',
  'OUTSIDE_ROOT',
  'CHANGED',
  'BAD_SCORE',
  'DECODER_CRASH',
  'BAD_RECORD',
  'NO_LABEL',
  'LABEL_CONFLICT',
  'LEAK',
] as const;
const problem = z.strictObject({code: z.enum(quarantineCodes), detail: z.string()});
export type Problem = z.infer<typeof problem>;
export type QuarantineCode = Problem['code'];

/** A picture that stopped a worker. Its key is its id, or its file where nobody knows the id yet. */
const culprit = z.strictObject({key: z.string(), problem});
export type Culprit = z.infer<typeof culprit>;
/** What a decoder has in hand; `problem` where it is past its time with a picture. */
export const picturesInHand = z.array(z.strictObject({key: z.string(), problem: problem.nullable()}));
export type PicturesInHand = z.infer<typeof picturesInHand>;

// ---------------------------------------------------------------- what a task is told

/**
 * Where an image's bytes lie. `file` is an absolute printable path (see images/printable-path.ts); `offset` and
 * `length` are null for a whole file.
 */
const location = {
  file: path,
  offset: count.nullable(),
  length: count.nullable(),
  /** `encoded`: the bytes of a JPEG, a PNG or another format; `cifar`: 3072 bytes, the red, green and blue planes of a 32x32 image. */
  encoding: z.enum(['encoded', 'cifar']),
};

/** How bytes become pixels: limits, then the short side to `resize`, then the centre `size` x `size`. */
const decoding = z.strictObject({
  size: positive,
  resize: positive,
  /**
   * Lets a decoder that can read a picture at half or a quarter of its size do so: faster, and not quite the same
   * pixels.
   */
  shrinkOnLoad: z.boolean(),
  formats: z.array(z.enum(['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'])).min(1),
  maxFileBytes: positive,
  maxPixels: positive,
  timeoutSeconds: positive,
});
export type Decoding = z.infer<typeof decoding>;

/**
 * What lets a task in which strangers' pictures are decoded get past those that a decoder dies of or hangs in (see
 * past-culprits.ts).
 */
const precautions = z.strictObject({
  /** The file in which the worker keeps what is in its decoder's hands, for whoever finds it dead. */
  inHand: path,
  /** What stopped earlier attempts: none of it is decoded again. */
  culprits: z.array(culprit),
});
export type Precautions = z.infer<typeof precautions>;

export const sourceKinds = ['folder', 'cifar10', 'cifar100', 'webdataset', 'manifest'] as const;
const sourceKind = z.enum(sourceKinds);
export type SourceKind = z.infer<typeof sourceKind>;
/** Whether its pictures are records of 32 x 32 pixels. */
export const isCifar = (kind: SourceKind): kind is 'cifar10' | 'cifar100' => kind === 'cifar10' || kind === 'cifar100';

/** A source of pictures, recognised and absolute. */
const source = z.strictObject({
  kind: sourceKind,
  /** Absolute: a folder, a file, or a pattern with one {000000..000099} range. */
  path,
  /** The part of a CIFAR source; null means all of it. */
  split: z.enum(['train', 'test']).nullable(),
});
export type SourceSpec = z.infer<typeof source>;

const task = {protocol: z.literal(PROTOCOL)};
const device = z.string().regex(/^(cpu|cuda:\d+)$/);

const indexTask = z.strictObject({
  ...task,
  task: z.literal('index'),
  sources: z.array(z.strictObject({...source.shape, labelled: z.boolean()})),
  /**
   * A folder of ours that outlives the run's stages: where an archive that cannot be read at random (CIFAR's .tar.gz)
   * is unpacked to.
   */
  cache: path,
  /** What pupil writes to, which is no part of a folder around it. */
  ownFolders: z.array(path),
  maxFileBytes: positive,
  readThreads: positive,
});
const packTask = z.strictObject({
  ...task,
  task: z.literal('pack'),
  /** The packs to make, one after the other, each of pictures of a side of its own. */
  packs: z.array(z.strictObject({output: path, size: positive})),
  decoding,
  precautions,
  threads: positive,
  classes: z.array(z.string()),
  kept: count,
  /** Packs of pictures to be kept apart: what looks like one of them is no part of these. */
  heldOut: z.array(z.strictObject({name: z.string(), pack: path})),
});
/** How scoring shares the machine out. Scores do not depend on it. */
const layout = z.strictObject({
  /** Images in the network at once. */
  batchSize: positive,
  /** Pictures decoded at once. */
  decodeThreads: positive,
  /** Networks that answer batches side by side. */
  networks: positive,
  /** CPU threads of one operator of each network. */
  networkThreads: positive,
});
export type Layout = z.infer<typeof layout>;

const scoreTask = z.strictObject({
  ...task,
  task: z.literal('score'),
  model: path,
  device,
  /** Of all shards together. */
  images: count,
  layout,
  /** P of the score files: classes kept for each image. */
  kept: positive,
  classes: z.array(z.string()).min(2),
  decoding,
  precautions,
  fingerprint: z.string(),
});
/**
 * Scores a few images over and over, to find the layout that is fastest here. The images come as one shard on stdin,
 * which is not written.
 */
const trialTask = z.strictObject({
  ...task,
  task: z.literal('trial'),
  model: path,
  device,
  decoding,
  precautions,
  /** Where the search starts. */
  layout,
  /** The parts of it that are searched. */
  searched: z.array(z.enum(['networks', 'batchSize', 'decodeThreads', 'networkThreads'])),
  /** To be scored afterwards: a trial pays where that takes minutes. */
  images: count,
});
const measureTask = z.strictObject({
  ...task,
  task: z.literal('measure'),
  model: path,
  device,
  threads: positive,
  batchSize: positive,
  pack: path,
  /** A file that the trainer's export wrote: the same network's answers in PyTorch. Null: only accuracies. */
  reference: path.nullable(),
});
const predictTask = z.strictObject({
  ...task,
  task: z.literal('predict'),
  model: path,
  device,
  decoding,
  precautions,
  threads: positive,
  top: positive,
});
/** Decodes pictures one by one and keeps nothing: what it dies of, it dies of alone. */
const decodeTask = z.strictObject({...task, task: z.literal('decode'), decoding, precautions});
const thumbnailsTask = z.strictObject({
  ...task,
  task: z.literal('thumbnails'),
  pack: path,
  ids: z.array(imageId),
  size: positive,
  output: path,
});
const drawTask = z.strictObject({
  ...task,
  task: z.literal('draw'),
  output: path,
  seed: z.int(),
  size: positive,
  labelledPerClass: positive,
  unlabelled: positive,
  testPerClass: positive,
});
const workerProbeTask = z.strictObject({...task, task: z.literal('probe'), device});

export const workerTask = z.discriminatedUnion('task', [
  indexTask,
  packTask,
  scoreTask,
  trialTask,
  measureTask,
  predictTask,
  decodeTask,
  thumbnailsTask,
  drawTask,
  workerProbeTask,
]);
export type WorkerTask = z.infer<typeof workerTask>;

/**
 * One line on the worker's stdin in `pack`: an image, the number of the pack that it belongs to, in which they come one
 * after the other, the labels (indices into `classes`) under which it stands in the pack, and the teacher's `kept` best
 * classes of it with their natural log-probabilities, where the pack holds them.
 */
export const packItem = z.strictObject({
  id: imageId,
  place: z.string(),
  ...location,
  pack: count,
  labels: z.array(count),
  answers: z.strictObject({classes: z.array(count), logProbs: z.array(finite)}).nullable(),
});
export type PackItem = z.infer<typeof packItem>;
/** One line on the worker's stdin in `score`: a shard of the pool. */
export const scoreShard = z.strictObject({
  shard: count,
  output: path,
  images: z.array(z.strictObject({id: imageId, place: z.string(), ...location})),
});
export type ScoreShard = z.infer<typeof scoreShard>;
export type ImageReference = ScoreShard['images'][number];
/** One line on the worker's stdin in `predict`: a file as the user named it. */
export const predictItem = z.strictObject({image: z.string(), file: path});
export type PredictItem = z.infer<typeof predictItem>;
/** One line on the worker's stdin in `decode`. */
export const decodeItem = z.strictObject({id: imageId.nullable(), ...location});
export type DecodeItem = z.infer<typeof decodeItem>;

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

/** The tasks in which strangers' pictures are decoded. All others read packs or draw. */
export type DecodingTask = 'pack' | 'score' | 'trial' | 'predict';

/** The task of this name (`probe` is a task of both children). */
export type TaskOf<Name extends TaskName> = Extract<WorkerTask | TrainerTask, {task: Name}>;

// ---------------------------------------------------------------- what a task answers

/**
 * An image as a source lists it. `file` is relative to the source's root; the place shown to people is
 * root/file#member. Exactly one of id and problem is null.
 */
const indexEntry = z.strictObject({
  file: path,
  member: z.string().nullable(),
  offset: count.nullable(),
  length: count.nullable(),
  encoding: location.encoding,
  label: z.string().nullable(),
  id: imageId.nullable(),
  problem: problem.nullable(),
});
export type IndexEntry = z.infer<typeof indexEntry>;

const quarantined = z.strictObject({id: imageId, problem});
export type Quarantined = z.infer<typeof quarantined>;

/**
 * Of each part of scoring, which work side by side; those of reading and decoding are divided by how many work at once.
 */
export const scoringParts = z.strictObject({
  reading: z.number().nonnegative(),
  decoding: z.number().nonnegative(),
  inferring: z.number().nonnegative(),
  writing: z.number().nonnegative(),
});

/** Events of a child. Unknown types are ignored, so that a newer child can say more. */
const events = [
  z.object({type: z.literal('hello'), protocol: z.int(), runtime: z.string(), device: z.string()}),
  /** `busy`: the share of the last second or so in which each part of scoring was at work. */
  z.object({
    type: z.literal('progress'),
    done: count,
    total: count.nullable(),
    imagesPerSecond: finite,
    busy: scoringParts.exactOptional(),
  }),
  z.object({type: z.literal('note'), message: z.string()}),
  z.object({
    type: z.literal('step'),
    step: count,
    totalSteps: positive,
    epoch: count,
    loss: finite,
    lr: finite,
    imagesPerSecond: finite,
    memoryBytes: count,
  }),
  /**
   * A training starts, or goes on: `step` steps and `epoch` whole epochs are done. What was told of later ones no
   * longer holds.
   */
  z.object({type: z.literal('begun'), step: count, epoch: count}),
  z.object({type: z.literal('evaluated'), epoch: count, top1: fraction, top5: fraction, loss: finite}),
  z.object({type: z.literal('checkpoint'), epoch: count, path}),
  z.object({type: z.literal('indexed'), source: count, entries: z.array(indexEntry)}),
  z.object({type: z.literal('quarantined'), pack: count, images: z.array(quarantined)}),
  /** A score file was published; `sha256` is of its bytes, in hex. */
  z.object({
    type: z.literal('shard'),
    shard: count,
    path,
    sha256: z.string(),
    rows: count,
    quarantined: z.array(quarantined),
  }),
  z.object({
    type: z.literal('predicted'),
    image: z.string(),
    classes: z.array(z.strictObject({class: z.string(), probability: fraction})),
    error: problem.nullable(),
  }),
  z.object({type: z.literal('finished'), result: z.json()}),
  /** Behind `finished`, from a child that stays: it can take another task. */
  z.object({type: z.literal('ready')}),
  z.object({type: z.literal('interrupted'), message: z.string()}),
  z.object({
    type: z.literal('failed'),
    reason: z.enum([
      'config',
      'data',
      'model',
      'out-of-memory',
      'diverged',
      'device',
      'disk-full',
      'process-lost',
      'stuck',
      'gate',
      'bug',
    ]),
    message: z.string(),
    code: z.enum(errorCodeNames).optional(),
  }),
] as const;
export const childEvent = z.discriminatedUnion('type', events);
export type ChildEvent = z.infer<typeof childEvent>;
export type FailureReason = Extract<ChildEvent, {type: 'failed'}>['reason'];

/** Answers of about the same probability: how many, what they claim on average, and the share of them that is right. */
export const reliabilityBin = z.strictObject({images: count, probability: fraction, accuracy: fraction});
export type ReliabilityBin = z.infer<typeof reliabilityBin>;

/** The `result` of each task's `finished` event. */
export const taskResults = {
  index: z.strictObject({
    sources: z.array(
      z.strictObject({
        classes: z.array(z.string()).nullable(),
        images: count,
        notes: z.array(z.string()),
        warnings: z.array(z.string()),
      }),
    ),
  }),
  pack: z.strictObject({packs: z.array(z.strictObject({images: count, samples: count, quarantined: count}))}),
  /** `busy` are seconds. */
  score: z.strictObject({shards: count, images: count, seconds: finite, busy: scoringParts}),
  /** `tried` layouts were measured; the one taken scored so many images a second, and the first of them so many. */
  trial: z.strictObject({layout, imagesPerSecond: finite, firstImagesPerSecond: finite, tried: count}),
  /** `fittedTemperature`: what would have to divide the logits for the answers to be worth what they say. */
  measure: z.strictObject({
    images: count,
    top1: fraction,
    top5: fraction,
    fittedTemperature: z.number().positive(),
    largestDifference: finite.nullable(),
    top1Agreement: fraction.nullable(),
  }),
  predict: z.strictObject({images: count}),
  decode: z.strictObject({images: count}),
  thumbnails: z.strictObject({images: count}),
  draw: z.strictObject({images: count}),
  train: z.strictObject({
    epochs: count,
    bestEpoch: count,
    steps: count,
    batchSize: positive,
    top1: fraction,
    top5: fraction,
    seconds: finite,
  }),
  /** `ece` is the expected calibration error on validation, before and after the temperature. */
  export: z.strictObject({images: count, temperature: finite, eceBefore: fraction, eceAfter: fraction}),
  evaluate: z.strictObject({
    models: z.array(
      z.strictObject({
        name: z.string(),
        images: count,
        top1: fraction,
        top5: fraction,
        eceBefore: fraction,
        eceAfter: fraction,
        bins: z.strictObject({before: z.array(reliabilityBin), after: z.array(reliabilityBin)}),
        flipped: z.strictObject({top1: fraction, top5: fraction}).nullable(),
      }),
    ),
  }),
  quantise: z.strictObject({}),
  speed: z.strictObject({trainImagesPerSecond: finite, scoreImagesPerSecond: finite}),
  import: z.strictObject({parameters: count}),
  /** What it took the file for; null where the file is one that pupil exported. */
  wrap: z.strictObject({input: z.enum(inputLayouts).nullable(), answer: z.enum(outputKinds).nullable()}),
  probe: z.strictObject({
    runtime: z.string(),
    device: z.string(),
    deviceName: z.string(),
    bf16: z.boolean(),
    /** The trainer's: by what several processes could train together. */
    several: z.strictObject({gpus: count, backends: z.array(z.string())}).exactOptional(),
  }),
};

export type TaskName = keyof typeof taskResults;
export type TaskResult<Name extends TaskName> = z.infer<(typeof taskResults)[Name]>;

// ---------------------------------------------------------------- the wire

type Json = z.infer<ReturnType<typeof z.json>>;

/** Our messages have eight levels or so; many thousands would overflow the stack of whoever walks through them. */
const MAX_NESTING = 100;

/**
 * Renames keys at every depth; the few names that there are, are made once: a shard's line has thousands of objects.
 */
function keyMapper(rename: (key: string) => string): (value: unknown) => unknown {
  const names = new Map<string, string>();
  const nameOf = (key: string): string => {
    const known = names.get(key) ?? rename(key);
    // Not more than a protocol has: keys may come from outside.
    if (names.size < 1000) names.set(key, known);
    return known;
  };
  const map = (value: unknown, depth: number): unknown => {
    if (value === null || typeof value !== 'object') return value;
    if (depth > MAX_NESTING) throw new RangeError(`nested too deeply: more than ${MAX_NESTING} levels`);
    if (Array.isArray(value)) return value.map(item => map(item, depth + 1));
    const mapped: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) mapped[nameOf(key)] = map(item, depth + 1);
    return mapped;
  };
  return value => map(value, 1);
}

const toSnakeCase = keyMapper(key => key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`));
const toCamelCase = keyMapper(key => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()));

/** One message as a line of JSON with snake_case keys, without its newline. */
export const toWire = (message: object): string => printableJson(toSnakeCase(message));

/**
 * A line of JSON with camelCase keys, not yet validated. Throws SyntaxError where it is no JSON, RangeError where it is
 * nested without end.
 */
export const fromWire = (line: string): unknown => toCamelCase(JSON.parse(line));

export type {Json};
