/**
 * A thread that looks at files, or reads and hashes the images in them. It reads one after the other, and waits for
 * each: what that costs a promise each takes longer than reading a small picture.
 */
import {closeSync, constants, fstatSync, openSync, readSync, type Stats} from 'node:fs';
import {parentPort, workerData} from 'node:worker_threads';
import type {Problem} from '../children/protocol.js';
import {systemCode} from '../errors.js';
import {ID_WORDS, putId} from '../ranking/image-ids.js';
import {lookAtMany, NO_STAMP, stampOf, statOf, type NamedFiles, type SeenFiles} from './file-stamps.js';
import {imageIdOf} from './image-id.js';
import {putKnownId, stampAt, type KnownFiles} from './known-files.js';
import {fromPrintable} from './printable-path.js';
import {continuesRun, emptyFile, endsBefore, notAFile, tooLarge, unreadable} from './read-problems.js';

/** Images to name by their bytes: whole files of a folder, or ranges of such. */
export interface ImagesToHash extends NamedFiles {
  /** By number, of `names`; null where each is one image. */
  readonly ranges: {
    readonly file: Uint32Array;
    readonly offset: Float64Array;
    readonly length: Float64Array;
    /** Of each file. */
    readonly stamps: BigUint64Array;
  } | null;
  readonly maxFileBytes: number;
}

export interface HashedImages {
  /** Three words each; zeros where there is a problem. */
  readonly ids: Uint32Array;
  /** Of the file of each, where each is a whole one. */
  readonly stamps: BigUint64Array | null;
  readonly problems: readonly {readonly image: number; readonly problem: Problem}[];
}

export type FileJob =
  {readonly type: 'look'; readonly files: NamedFiles} | {readonly type: 'hash'; readonly images: ImagesToHash};
export type FileReply = {readonly seen: SeenFiles} | {readonly hashed: HashedImages} | {readonly failure: unknown};

const port = parentPort;
if (port === null) throw new Error('The thread that reads files was started as a program of its own.');

const known = workerData as KnownFiles | null; // Written by file-threads.ts alone.

/** Fills `bytes` from a place of a file on; returns how many there were. */
function fill(file: number, bytes: Uint8Array, position: number): number {
  let done = 0;
  while (done < bytes.length) {
    const read = readSync(file, bytes, done, bytes.length - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

/** Opens without waiting for a writer, should the file have become a pipe. Returns why it cannot be used; else null. */
function withFile(path: string, use: (file: number, stats: Stats) => Problem | null): Problem | null {
  try {
    const file = openSync(fromPrintable(path), constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = fstatSync(file);
      return stats.isFile() ? use(file, stats) : notAFile;
    } finally {
      closeSync(file);
    }
  } catch (error) {
    const code = systemCode(error);
    if (code === null) throw error;
    return unreadable(code);
  }
}

const putIdOf = (ids: Uint32Array, image: number, bytes: Uint8Array): void =>
  putId(ids, image, Buffer.from(imageIdOf(bytes)));

function hashFiles({folder, names, maxFileBytes}: ImagesToHash): HashedImages {
  const ids = new Uint32Array(names.length * ID_WORDS);
  const stamps = new BigUint64Array(names.length);
  const problems: {image: number; problem: Problem}[] = [];
  for (const [image, name] of names.entries()) {
    const path = `${folder}/${name}`;
    if (known !== null) {
      const stats = statOf(path);
      const stamp = stats === null ? NO_STAMP : stampOf(name, stats);
      if (stats !== null && stats.size <= maxFileBytes && putKnownId(known, stamp, ids, image)) {
        stamps[image] = stamp;
        continue;
      }
    }
    const problem = withFile(path, (file, stats) => {
      const {size} = stats;
      if (size === 0) return emptyFile;
      if (size > maxFileBytes) return tooLarge(size, maxFileBytes);
      const bytes = Buffer.allocUnsafe(size);
      putIdOf(ids, image, bytes.subarray(0, fill(file, bytes, 0)));
      stamps[image] = stampOf(name, stats);
      return null;
    });
    if (problem !== null) problems.push({image, problem});
  }
  return {ids, stamps, problems};
}

function hashRanges(
  {folder, names, maxFileBytes}: ImagesToHash,
  {file, offset, length, stamps}: NonNullable<ImagesToHash['ranges']>,
): HashedImages {
  const ids = new Uint32Array(file.length * ID_WORDS);
  const problems: {image: number; problem: Problem}[] = [];
  const problemOf = (image: number): Problem | null =>
    length[image] === 0 ? emptyFile : length[image]! > maxFileBytes ? tooLarge(length[image]!, maxFileBytes) : null;
  /** Whether there is nothing to read: its id is known, or why it has none. */
  const isSettled = (image: number): boolean => {
    const problem = problemOf(image);
    if (problem !== null) problems.push({image, problem});
    return (
      problem !== null ||
      (known !== null && putKnownId(known, stampAt(stamps[file[image]!]!, offset[image]!), ids, image))
    );
  };
  for (let first = 0; first < file.length;) {
    if (isSettled(first)) {
      first++;
      continue;
    }
    const run = [first];
    const start = offset[first]!;
    let end = start + length[first]!;
    let next = first + 1;
    for (; next < file.length && file[next] === file[first]; next++) {
      const range = {offset: offset[next]!, length: length[next]!};
      if (!continuesRun(start, end, range)) break;
      if (isSettled(next)) continue;
      run.push(next);
      end = range.offset + range.length;
    }
    const problem = withFile(`${folder}/${names[file[first]!]!}`, handle => {
      const bytes = Buffer.allocUnsafe(end - start);
      const found = fill(handle, bytes, start);
      for (const image of run) {
        const [from, to] = [offset[image]! - start, offset[image]! - start + length[image]!];
        if (to > found) problems.push({image, problem: endsBefore(start + to)});
        else putIdOf(ids, image, bytes.subarray(from, to));
      }
      return null;
    });
    if (problem !== null) problems.push(...run.map(image => ({image, problem})));
    first = next;
  }
  return {ids, stamps: null, problems};
}

const answer = (job: FileJob): FileReply =>
  job.type === 'look'
    ? {seen: lookAtMany(job.files)}
    : {hashed: job.images.ranges === null ? hashFiles(job.images) : hashRanges(job.images, job.images.ranges)};

port.on('message', (job: FileJob) => {
  let reply: FileReply;
  try {
    reply = answer(job);
  } catch (failure) {
    reply = {failure};
  }
  port.postMessage(reply);
});
