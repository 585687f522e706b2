/**
 * Decoded images as one file of rows, which the trainer maps into memory: a folder with
 *   images.u8    N x S x S x 3 uint8, row-major RGB
 *   samples.i32  M x 2 little-endian int32: image row, label (an image may stand under several labels)
 *   ids.txt      N lines, the image ids in row order
 *   pack.json    {"version": 1, "images": N, "samples": M, "size": S, "classes": [...]}
 */
import {createReadStream} from 'node:fs';
import {open, readFile, stat, writeFile} from 'node:fs/promises';
import {createInterface} from 'node:readline';
import {z} from 'zod';
import {dataError} from '../errors.js';
import {publishFolder} from '../publish.js';

const CHANNELS = 3;
/** An image row and a label, int32 each. */
const SAMPLE_BYTES = 8;
/** Rows are gathered to writes of this size. */
const WRITE_BYTES = 4 * 1024 * 1024;

const header = z.strictObject({
  version: z.literal(1),
  images: z.int().nonnegative(),
  samples: z.int().nonnegative(),
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
}

/** A new file that takes small pieces and writes large ones. Not a stream: what fails here is thrown where it is awaited. */
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

/** Writes `rows` as a pack at `path`, whole or not at all, in their order. Returns its header. */
export async function writePack(path: string, size: number, classes: readonly string[], rows: AsyncIterable<PackRow>): Promise<PackHeader> {
  return await publishFolder(path, async folder => {
    const images = await openAppender(`${folder}/images.u8`);
    const samples = await openAppender(`${folder}/samples.i32`);
    const ids = await openAppender(`${folder}/ids.txt`);
    const files = [images, samples, ids];
    const counts = {images: 0, samples: 0};
    try {
      for await (const {id, pixels, labels} of rows) {
        await images.append(pixels);
        await samples.append(samplesOf(counts.images, labels));
        await ids.append(Buffer.from(`${id}\n`));
        counts.images++;
        counts.samples += labels.length;
      }
      for (const file of files) await file.flush();
    } finally {
      for (const file of files) await file.close();
    }
    const written: PackHeader = {version: 1, ...counts, size, classes: [...classes]};
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

/** Opens a pack. Throws a data error where a file is missing, or is not as long as pack.json says. The caller closes it. */
export async function openPack(path: string): Promise<Pack> {
  let stated: PackHeader;
  try {
    stated = header.parse(JSON.parse(await readFile(`${path}/pack.json`, 'utf8')));
  } catch (error) {
    throw dataError(`${path} is no pack: its pack.json cannot be read.`, {cause: error});
  }
  const rowBytes = stated.size * stated.size * CHANNELS;
  for (const [name, expected] of [
    ['images.u8', stated.images * rowBytes],
    ['samples.i32', stated.samples * SAMPLE_BYTES],
  ] as const) {
    const found = await stat(`${path}/${name}`).catch(() => null);
    if (found?.size !== expected) throw dataError(`${path}/${name} ${found === null ? 'is missing' : `has ${found.size} bytes`}; expected ${expected}.`);
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
        if (bytesRead === 0) throw dataError(`${path}/images.u8 ends before row ${first + count}.`);
        done += bytesRead;
      }
    },
    ids: () => createInterface({input: createReadStream(`${path}/ids.txt`)}),
    close: () => images.close(),
  };
}
