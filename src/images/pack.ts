/**
 * Decoded images as one file of rows, which the trainer maps into memory: a folder with
 *   images.u8    N x S x S x 3 uint8, row-major RGB
 *   samples.i32  M x 2 little-endian int32: image row, label (an image may stand under several labels)
 *   ids.txt      N lines, the image ids in row order
 *   pack.json    {"version": 1, "images": N, "samples": M, "size": S, "classes": [...]}
 */
import {once} from 'node:events';
import {createReadStream, createWriteStream, type WriteStream} from 'node:fs';
import {open, readFile, stat, writeFile} from 'node:fs/promises';
import {createInterface} from 'node:readline';
import {finished} from 'node:stream/promises';
import {z} from 'zod';
import {dataError} from '../errors.js';
import {publishFolder} from './publish.js';

const CHANNELS = 3;
const WRITE_BUFFER = 4 * 1024 * 1024;

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

async function write(stream: WriteStream, chunk: string | Uint8Array): Promise<void> {
  if (!stream.write(chunk)) await once(stream, 'drain');
}

/** Writes `rows` as a pack at `path`, whole or not at all, in their order. Returns its header. */
export async function writePack(path: string, size: number, classes: readonly string[], rows: AsyncIterable<PackRow>): Promise<PackHeader> {
  return await publishFolder(path, async folder => {
    const images = createWriteStream(`${folder}/images.u8`, {highWaterMark: WRITE_BUFFER});
    const samples = createWriteStream(`${folder}/samples.i32`);
    const ids = createWriteStream(`${folder}/ids.txt`);
    const streams = [images, samples, ids];
    const counts = {images: 0, samples: 0};
    try {
      for await (const {id, pixels, labels} of rows) {
        const pairs = Buffer.allocUnsafe(labels.length * 8);
        labels.forEach((label, i) => {
          pairs.writeInt32LE(counts.images, i * 8);
          pairs.writeInt32LE(label, i * 8 + 4);
        });
        await write(images, pixels);
        await write(samples, pairs);
        await write(ids, `${id}\n`);
        counts.images++;
        counts.samples += labels.length;
      }
      await Promise.all(streams.map(stream => finished(stream.end())));
    } finally {
      streams.forEach(stream => stream.destroy());
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
  for (const [name, expected] of [['images.u8', stated.images * rowBytes], ['samples.i32', stated.samples * 8]] as const) {
    const found = await stat(`${path}/${name}`).then(({size}) => size, () => null);
    if (found !== expected) throw dataError(`${path}/${name} ${found === null ? 'is missing' : `has ${found} bytes`}; expected ${expected}.`);
  }
  const pairs = await readFile(`${path}/samples.i32`);
  const samplePairs = Int32Array.from({length: stated.samples * 2}, (_, i) => pairs.readInt32LE(i * 4));
  const images = await open(`${path}/images.u8`, 'r');

  return {
    ...stated,
    samplePairs,
    async readRows(first, count, into) {
      for (let done = 0; done < count * rowBytes; ) {
        const {bytesRead} = await images.read(into, done, count * rowBytes - done, first * rowBytes + done);
        if (bytesRead === 0) throw dataError(`${path}/images.u8 ends before row ${first + count}.`);
        done += bytesRead;
      }
    },
    ids: () => createInterface({input: createReadStream(`${path}/ids.txt`)}),
    close: () => images.close(),
  };
}
