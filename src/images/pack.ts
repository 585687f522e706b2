/**
 * Decoded images as one file of rows, which the trainer maps into memory: a folder with
 *   images.u8    N x S x S x 3 uint8, row-major RGB
 *   samples.i32  M x 2 little-endian int32: image row, label (an image may stand under several labels)
 *   ids.txt      N lines, the image ids in row order
 *   classes.i32  N x P little-endian int32, and
 *   log_prob.f32 N x P little-endian float32: the teacher's best classes of each image and their natural log-probabilities, where P > 0
 *   pack.json    {"version": 2, "images": N, "samples": M, "kept": P, "size": S, "classes": [...]}
 */
import {createReadStream} from 'node:fs';
import {open, readFile, stat, writeFile} from 'node:fs/promises';
import {createInterface} from 'node:readline';
import {z} from 'zod';
import {UserError} from '../errors.js';
import {publishFolder} from '../files/publish.js';

const CHANNELS = 3;
/** An image row and a label, int32 each. */
const SAMPLE_BYTES = 8;
/** Rows are gathered to writes of this size. */
const WRITE_BYTES = 4 * 1024 * 1024;

const header = z.strictObject({
  version: z.literal(2),
  images: z.int().nonnegative(),
  samples: z.int().nonnegative(),
  kept: z.int().nonnegative(),
  size: z.int().positive(),
  classes: z.array(z.string()),
});

/** What a pack holds, as its pack.json states it. */
export type PackHeader = z.infer<typeof header>;

export interface PackRow {
  id: string;
  /** `size` x `size` x 3 bytes. */
  pixels: Uint8Array;
  /** Indices into the pack's classes. */
  labels: readonly number[];
  /**
   * The teacher's best classes and their log-probabilities, as many for every row of a pack; null in a pack without
   * them.
   */
  answers: Answers | null;
}

/** What the teacher said of an image: its best classes and their natural log-probabilities, best first. */
export interface Answers {
  readonly classes: readonly number[];
  readonly logProbs: readonly number[];
}

/**
 * A new file that takes small pieces and writes large ones. Not a stream: what fails here is thrown where it is
 * awaited.
 */
async function openAppender(path: string) {
  const file = await open(path, 'w');
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  const flush = async () => {
    await file.writeFile(Buffer.concat(waiting));
    waiting = [];
    bytes = 0;
  };
  return {
    flush,
    close: () => file.close(),
    async append(piece: Uint8Array) {
      waiting.push(piece);
      bytes += piece.length;
      if (bytes >= WRITE_BYTES) await flush();
    },
  };
}

/** Pairs of the image row and each of its labels. */
function samplesOf(row: number, labels: readonly number[]): Buffer {
  const pairs = Buffer.allocUnsafe(labels.length * SAMPLE_BYTES);
  labels.forEach((label, i) => {
    pairs.writeInt32LE(row, i * SAMPLE_BYTES);
    pairs.writeInt32LE(label, i * SAMPLE_BYTES + 4);
  });
  return pairs;
}

const BYTES_OF_ANSWER = 4;

/** One row of each of the two files of answers. */
function answersOf({classes, logProbs}: Answers): {classes: Buffer; logProbs: Buffer} {
  const rows = {
    classes: Buffer.allocUnsafe(classes.length * BYTES_OF_ANSWER),
    logProbs: Buffer.allocUnsafe(logProbs.length * BYTES_OF_ANSWER),
  };
  classes.forEach((label, i) => rows.classes.writeInt32LE(label, i * BYTES_OF_ANSWER));
  logProbs.forEach((value, i) => rows.logProbs.writeFloatLE(value, i * BYTES_OF_ANSWER));
  return rows;
}

/**
 * Writes `rows` as a pack at `path`, whole or not at all, in their order, with `kept` answers of the teacher for each.
 * Returns its header.
 */
export async function writePack(
  path: string,
  {size, classes, kept}: {size: number; classes: readonly string[]; kept: number},
  rows: AsyncIterable<PackRow>,
): Promise<PackHeader> {
  return await publishFolder(path, async folder => {
    const images = await openAppender(`${folder}/images.u8`);
    const samples = await openAppender(`${folder}/samples.i32`);
    const ids = await openAppender(`${folder}/ids.txt`);
    const best =
      kept > 0
        ? {classes: await openAppender(`${folder}/classes.i32`), logProbs: await openAppender(`${folder}/log_prob.f32`)}
        : null;
    const files = [images, samples, ids, ...(best ? [best.classes, best.logProbs] : [])];
    const counts = {images: 0, samples: 0};
    try {
      for await (const {id, pixels, labels, answers} of rows) {
        if ((answers?.classes.length ?? 0) !== kept || (answers?.logProbs.length ?? 0) !== kept) {
          throw new Error(
            `Image ${id} comes with ${answers?.classes.length ?? 0} answers of the teacher to a pack of ${kept} each.`,
          );
        }
        await images.append(pixels);
        await samples.append(samplesOf(counts.images, labels));
        await ids.append(Buffer.from(`${id}\n`));
        if (best && answers) {
          const row = answersOf(answers);
          await best.classes.append(row.classes);
          await best.logProbs.append(row.logProbs);
        }
        counts.images++;
        counts.samples += labels.length;
      }
      for (const file of files) await file.flush();
    } finally {
      for (const file of files) await file.close();
    }
    const written: PackHeader = {version: 2, ...counts, kept, size, classes: [...classes]};
    await writeFile(`${folder}/pack.json`, `${JSON.stringify(written)}\n`);
    return written;
  });
}

export interface Pack extends PackHeader {
  /** M pairs of image row and label. */
  samplePairs: Int32Array;
  /** Reads `count` rows from `first` on into the beginning of `into`. */
  readRows(first: number, count: number, into: Uint8Array): Promise<void>;
  /** The image ids in row order, streamed. */
  ids(): AsyncIterable<string>;
  close(): Promise<void>;
}

/**
 * Opens a pack. Throws a data error where a file is missing, or is not as long as pack.json says. The caller closes it.
 */
export async function openPack(path: string): Promise<Pack> {
  let stated: PackHeader;
  try {
    stated = header.parse(JSON.parse(await readFile(`${path}/pack.json`, 'utf8')));
  } catch (error) {
    throw new UserError('DAMAGED_FILE', `${path} is no pack: its pack.json cannot be read.`, {cause: error});
  }
  const rowBytes = stated.size * stated.size * CHANNELS;
  for (const [name, expected] of [
    ['images.u8', stated.images * rowBytes],
    ['samples.i32', stated.samples * SAMPLE_BYTES],
    ['ids.txt', null],
  ] as const) {
    const found = await stat(`${path}/${name}`).catch(() => null);
    if (found === null) throw new UserError('DAMAGED_FILE', `${path}/${name} is missing.`);
    if (expected !== null && found.size !== expected)
      throw new UserError('DAMAGED_FILE', `${path}/${name} has ${found.size} bytes; expected ${expected}.`);
  }
  const pairs = await readFile(`${path}/samples.i32`);
  const samplePairs = Int32Array.from({length: stated.samples * 2}, (_, i) => pairs.readInt32LE(i * 4));
  const images = await open(`${path}/images.u8`, 'r');

  return {
    ...stated,
    samplePairs,
    async readRows(first, count, into) {
      for (let done = 0; done < count * rowBytes;) {
        const {bytesRead} = await images.read(into, done, count * rowBytes - done, first * rowBytes + done);
        if (bytesRead === 0) throw new UserError('DAMAGED_FILE', `${path}/images.u8 ends before row ${first + count}.`);
        done += bytesRead;
      }
    },
    ids: () => createInterface({input: createReadStream(`${path}/ids.txt`)}),
    close: () => images.close(),
  };
}
