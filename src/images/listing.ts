/** What every kind of source gives: the files it lies in, and the images it lists. */
import type {Stats} from 'node:fs';
import {stat} from 'node:fs/promises';
import type {IndexEntry, QuarantineCode} from '../children/protocol.js';
import {fromPrintable} from './printable-path.js';

/** An image as a source lists it, before its bytes are read. A `problem` says why they never will be. */
export type Entry = Omit<IndexEntry, 'id'>;

/**
 * A file that a source depends on. Its name is relative to the root, or that of the archive which the root was unpacked
 * from.
 */
export interface SourceFile {
  file: string;
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
}

/** Paths are printable (see printable-path.ts), and relative to `root`, which is absolute. */
export interface Source {
  root: string;
  /**
   * The files that the images lie in, by their stats alone: enough to notice that something changed. In no fixed order.
   */
  files(signal: AbortSignal): AsyncIterable<SourceFile>;
  /**
   * Makes sure that what an archive must be unpacked to is there: it lies in the home, where somebody may clear it
   * away.
   */
  unpack?(signal: AbortSignal): Promise<unknown>;
  /** Every image, streamed. Archives in their own order, folders in the file system's. */
  entries(signal: AbortSignal): AsyncIterable<Entry>;
  /**
   * The classes that the source declares, also those without an image; null where only the labels of its images tell.
   */
  classes(): Promise<string[] | null>;
  /** What `entries` noticed that concerns no single image; complete once it has ended. */
  notes: string[];
  /** The same of what looks like a loss: archives that are cut short, shards that are missing. */
  warnings: string[];
}

export interface SourceOptions {
  /** Whether labels are wanted; without, every label is null. */
  labelled: boolean;
  /** A folder of ours for what an archive must be unpacked to before it can be read at random. */
  cache: string;
  /**
   * Absolute printable paths of folders that pupil itself writes to: what lies in them is no part of a folder around
   * them.
   */
  ownFolders?: readonly string[];
}

const whole = {member: null, offset: null, length: null, encoding: 'encoded'} as const;

/** A whole file that holds one image. */
export const fileEntry = (file: string, label: string | null): Entry => ({...whole, file, label, problem: null});

/** A file that is listed only to say why it is not read. */
export const refusedFile = (file: string, code: QuarantineCode, detail: string): Entry => ({
  ...whole,
  file,
  label: null,
  problem: {code, detail},
});

/** What lies at a printable path, a link followed; null where nothing does, or where it may not be looked at. */
export const statOrNull = (path: string): Promise<Stats | null> => stat(fromPrintable(path)).catch(() => null);

/** How many `stat` calls wait at a time: enough to hide the latency of a network file system. */
const STATS_IN_FLIGHT = 64;

async function statOne(root: string, file: string): Promise<SourceFile | null> {
  try {
    const {size, mtimeNs, ctimeNs} = await stat(fromPrintable(`${root}/${file}`), {bigint: true});
    return {file, size: Number(size), mtimeNs, ctimeNs};
  } catch {
    return null; // Gone or forbidden: its entry says so, and its absence here is the difference that matters.
  }
}

/** The stats of `files`, a few at a time. Files that cannot be looked at are left out. */
export async function* statFiles(
  root: string,
  files: AsyncIterable<string> | Iterable<string>,
  signal: AbortSignal,
): AsyncGenerator<SourceFile> {
  const batch: Promise<SourceFile | null>[] = [];
  const settle = async () => (await Promise.all(batch.splice(0))).filter(found => found !== null);
  for await (const file of files) {
    signal.throwIfAborted();
    batch.push(statOne(root, file));
    if (batch.length === STATS_IN_FLIGHT) yield* await settle();
  }
  yield* await settle();
}
