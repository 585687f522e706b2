/** What the children answer: events while they work, and each task's result. */
import {z} from 'zod';
import {errorCodeNames} from '../../errors.js';
import {count, finite, fraction, imageId, path, positive} from './primitives.js';
import {problem} from './terms.js';
import {inputLayouts, outputKinds, type TrainerTask} from './trainer-tasks.js';
import {layout, type WorkerTask} from './worker-tasks.js';

/**
 * What a source lists and cannot be used. `file` is relative to the source's root; the place shown to people is
 * root/file#member.
 */
const unusable = z.strictObject({file: path, member: z.string().nullable(), problem});
export type Unusable = z.infer<typeof unusable>;

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
/** What a training tells of itself as it goes on. */
const step = z.object({
  type: z.literal('step'),
  step: count,
  totalSteps: positive,
  epoch: count,
  loss: finite,
  lr: finite,
  imagesPerSecond: finite,
  memoryBytes: count,
});
const evaluated = z.object({type: z.literal('evaluated'), epoch: count, top1: fraction, top5: fraction, loss: finite});
export const reading = z.discriminatedUnion('type', [step, evaluated]);

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
  step,
  /**
   * A training starts, or goes on: `step` steps and `epoch` whole epochs are done. What was told of later ones no
   * longer holds.
   */
  z.object({type: z.literal('begun'), step: count, epoch: count}),
  evaluated,
  z.object({type: z.literal('checkpoint'), epoch: count, path}),
  z.object({type: z.literal('unusable'), source: count, images: z.array(unusable)}),
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
        /** Images of each file of the listing, and the digest of all. */
        chunks: z.array(count),
        digest: z.string(),
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

/** The tasks in which strangers' pictures are decoded. All others read packs or draw. */
export type DecodingTask = 'pack' | 'score' | 'trial' | 'predict';

/** The task of this name (`probe` is a task of both children). */
export type TaskOf<Name extends TaskName> = Extract<WorkerTask | TrainerTask, {task: Name}>;
