/** What the image worker is told: a config for each task, and the descriptors of its pictures. */
import {z} from 'zod';
import {count, device, finite, imageId, path, positive, task} from './primitives.js';
import {decoding, location, precautions, source} from './terms.js';

const indexTask = z.strictObject({
  ...task,
  task: z.literal('index'),
  sources: z.array(
    z.strictObject({
      ...source.shape,
      labelled: z.boolean(),
      /** A folder for what it lists (see src/pool/listing-files.ts), and such of before, whole or not. */
      listing: path,
      known: z.array(path),
    }),
  ),
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
export const layout = z.strictObject({
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
