/** What the messages of both children speak of: problems, places of pictures, decoding, sources. */
import {z} from 'zod';
import {count, path, positive} from './primitives.js';

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
export const problem = z.strictObject({code: z.enum(quarantineCodes), detail: z.string()});
export type Problem = z.infer<typeof problem>;
export type QuarantineCode = Problem['code'];

/** A picture that stopped a worker. Its key is its id, or its file where nobody knows the id yet. */
export const culprit = z.strictObject({key: z.string(), problem});
export type Culprit = z.infer<typeof culprit>;
/** What a decoder has in hand; `problem` where it is past its time with a picture. */
export const picturesInHand = z.array(z.strictObject({key: z.string(), problem: problem.nullable()}));
export type PicturesInHand = z.infer<typeof picturesInHand>;

/**
 * Where an image's bytes lie. `file` is an absolute printable path (see images/printable-path.ts); `offset` and
 * `length` are null for a whole file.
 */
export const location = {
  file: path,
  offset: count.nullable(),
  length: count.nullable(),
  /** `encoded`: the bytes of a JPEG, a PNG or another format; `cifar`: 3072 bytes, the red, green and blue planes of a 32x32 image. */
  encoding: z.enum(['encoded', 'cifar']),
};

/** How bytes become pixels: limits, then the short side to `resize`, then the centre `size` x `size`. */
export const decoding = z.strictObject({
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
export const precautions = z.strictObject({
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
export const source = z.strictObject({
  kind: sourceKind,
  /** Absolute: a folder, a file, or a pattern with one {000000..000099} range. */
  path,
  /** The part of a CIFAR source; null means all of it. */
  split: z.enum(['train', 'test']).nullable(),
});
export type SourceSpec = z.infer<typeof source>;
