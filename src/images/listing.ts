/** What every kind of source gives: the files it lies in, and the images it lists. */
import type {Stats} from 'node:fs';
import {stat} from 'node:fs/promises';
import type {Problem, QuarantineCode} from '../children/protocol.js';
import type {ListedImage} from '../pool/listing-files.js';
import type {NamedFiles} from './file-stamps.js';
import {fromPrintable} from './printable-path.js';

/** An image as a source lists it, before its bytes are read. A `problem` says why they never will be. */
export type Entry = Omit<ListedImage, 'id'> & {readonly problem: Problem | null};

/** Paths are printable (see printable-path.ts), and relative to `root`, which is absolute. */
export interface Source {
  root: string;
  /**
   * The files that the images lie in, in lots: of the root, or of the folder of the archive that the root was unpacked
   * from. In no fixed order.
   */
  files(signal: AbortSignal): AsyncIterable<NamedFiles>;
  /**
   * Makes sure that what an archive must be unpacked to is there: it lies in the home, where somebody may clear it
   * away.
   */
  unpack?(signal: AbortSignal): Promise<unknown>;
  /**
   * Every image, streamed in lots of some hundred: those of a lot are all files of their own, or all lie in others.
   * Archives in their own order, folders in the file system's.
   */
  entries(signal: AbortSignal): AsyncIterable<readonly Entry[]>;
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

/** A whole file that holds one image. */
export const fileEntry = (file: string, label: string | null, problem: Problem | null = null): Entry =>
  // Written out: there may be millions, and copying an object into each takes longer than all else about them.
  ({file, member: null, offset: null, length: null, encoding: 'encoded', label, problem});

/** A file that is listed only to say why it is not read. */
export const refusedFile = (file: string, code: QuarantineCode, detail: string): Entry =>
  fileEntry(file, null, {code, detail});

/** What lies at a printable path, a link followed; null where nothing does, or where it may not be looked at. */
export const statOrNull = (path: string): Promise<Stats | null> => stat(fromPrintable(path)).catch(() => null);

/** Entries, or names of files, that are handed on together. */
const LOT = 1024;

/** Gathers what comes one by one; also what came before it failed. */
export async function* inLots<Item>(items: AsyncIterable<Item> | Iterable<Item>): AsyncGenerator<readonly Item[]> {
  let lot: Item[] = [];
  try {
    for await (const item of items) {
      lot.push(item);
      if (lot.length < LOT) continue;
      yield lot;
      lot = [];
    }
  } catch (error) {
    if (lot.length > 0) yield lot;
    throw error;
  }
  if (lot.length > 0) yield lot;
}
