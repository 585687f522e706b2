/**
 * Reads the bytes of images ahead of their use: in order, a bounded number of reads at a time, neighbours in one file
 * with one read.
 */
import {constants, type Stats} from 'node:fs';
import {systemCode} from '../errors.js';
import {open, type FileHandle} from 'node:fs/promises';
import type {Problem} from '../children/protocol.js';
import {fromPrintable} from '../images/printable-path.js';
import {continuesRun, emptyFile, endsBefore, notAFile, tooLarge, unreadable} from '../images/read-problems.js';

/** Where bytes lie: a whole file, or a range of one. */
export interface Place {
  /** Absolute and printable. */
  file: string;
  offset: number | null;
  length: number | null;
}

export type Read<T> = {item: T; bytes: Buffer; problem: null} | {item: T; bytes: null; problem: Problem};

export interface ReadOptions {
  /** Reads in flight. */
  threads: number;
  /** Larger images are not read. */
  maxFileBytes: number;
  signal: AbortSignal;
}

const refused = <T>(item: T, problem: Problem): Read<T> => ({item, bytes: null, problem});

async function fill(handle: FileHandle, bytes: Buffer, position: number): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const {bytesRead} = await handle.read(bytes, done, bytes.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** Opens without waiting for a writer, should the file have become a pipe; looks before it reads. */
async function withFile<R>(
  file: string,
  use: (handle: FileHandle, stats: Stats) => Promise<R>,
  refuse: (problem: Problem) => R,
): Promise<R> {
  try {
    const handle = await open(fromPrintable(file), constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = await handle.stat();
      return stats.isFile() ? await use(handle, stats) : refuse(notAFile);
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = systemCode(error);
    if (code === null) throw error;
    return refuse(unreadable(code));
  }
}

const readWhole = <T extends Place>(item: T, maxFileBytes: number): Promise<Read<T>> =>
  withFile<Read<T>>(
    item.file,
    async (handle, {size}) => {
      if (size === 0) return refused(item, emptyFile);
      if (size > maxFileBytes) return refused(item, tooLarge(size, maxFileBytes));
      const bytes = Buffer.allocUnsafeSlow(size);
      return {item, bytes: bytes.subarray(0, await fill(handle, bytes, 0)), problem: null};
    },
    problem => refused(item, problem),
  );

interface Range<T> {
  item: T;
  offset: number;
  length: number;
}

/** One read for ranges of one file that lie close behind each other. The bytes of each are a view of the read. */
const readRun = <T extends Place>(file: string, run: Range<T>[], maxFileBytes: number): Promise<Read<T>[]> =>
  withFile<Read<T>[]>(
    file,
    async handle => {
      const start = run[0]?.offset ?? 0;
      const readable = run.filter(({length}) => length > 0 && length <= maxFileBytes);
      const end = readable.reduce((furthest, {offset, length}) => Math.max(furthest, offset + length), start);
      const bytes = Buffer.allocUnsafeSlow(end - start);
      const found = await fill(handle, bytes, start);
      return run.map(({item, offset, length}) => {
        if (length === 0) return refused(item, emptyFile);
        if (length > maxFileBytes) return refused(item, tooLarge(length, maxFileBytes));
        if (offset + length > start + found) return refused(item, endsBefore(offset + length));
        return {item, bytes: bytes.subarray(offset - start, offset - start + length), problem: null};
      });
    },
    problem => run.map(({item}) => refused(item, problem)),
  );

/** Whether a range is read together with the run before it. */
function continues<T extends Place>(run: Range<T>[], file: string, next: Range<T>): boolean {
  const [first, last] = [run[0], run.at(-1)];
  if (first === undefined || last === undefined || first.item.file !== file) return false;
  return continuesRun(first.offset, last.offset + last.length, next);
}

/**
 * Reads the bytes of items that come in lots, and yields them in order, a read (one item, or a run of neighbours) at a
 * time. What cannot be read is yielded as a problem. Memory: `threads` reads, each of one image or 1 MiB. Adds the time
 * that reads took, summed over those in flight, to `spent`.
 */
export async function* readAhead<T extends Place>(
  items: AsyncIterable<readonly T[]>,
  {threads, maxFileBytes, signal}: ReadOptions,
  spent = {reading: 0},
): AsyncGenerator<Read<T>[]> {
  const inFlight: Promise<Read<T>[]>[] = [];
  let run: Range<T>[] = [];

  const start = async (reading: Promise<Read<T>[]>) => {
    const begun = performance.now();
    const reads = await reading;
    spent.reading += (performance.now() - begun) / 1000;
    return reads;
  };
  const startRun = () => {
    const [first] = run;
    if (first !== undefined) inFlight.push(start(readRun(first.item.file, run, maxFileBytes)));
    run = [];
  };
  const startWhole = (item: T) => inFlight.push(start(readWhole(item, maxFileBytes).then(read => [read])));

  try {
    for await (const lot of items) {
      for (const item of lot) {
        signal.throwIfAborted();
        if (item.offset === null || item.length === null) {
          startRun();
          startWhole(item);
        } else {
          const range = {item, offset: item.offset, length: item.length};
          if (!continues(run, item.file, range)) startRun();
          run.push(range);
        }
        while (inFlight.length >= threads) yield (await inFlight.shift()) ?? [];
      }
    }
    startRun();
    while (inFlight.length > 0) yield (await inFlight.shift()) ?? [];
  } finally {
    await Promise.allSettled(inFlight);
  }
}
