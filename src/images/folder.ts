/** Images as files in folders: one folder a class when labelled, any nesting when not. */
import {isUtf8} from 'node:buffer';
import {lstat, opendir, realpath, stat} from 'node:fs/promises';
import {systemCode, UserError} from '../errors.js';
import type {Entry, Source, SourceOptions} from './listing.js';
import {fileEntry, refusedFile} from './listing.js';
import type {NamedFiles} from './file-stamps.js';
import {fromPrintable, toPrintable} from './printable-path.js';
import {isServiceName, LeftOut} from './service-files.js';

/**
 * Files that data sets carry beside their images. Anything else that is no image is listed, and quarantined by the
 * decoder.
 */
const sideFile = /^(readme|licen[cs]e)[^.]*$|\.(txt|md|rst|csv|tsv|json|jsonl|xml|ya?ml|npy|mat|sha256|md5)$/i;

type Kind = 'file' | 'folder' | 'link' | 'other';
interface Child {
  name: string;
  kind: Kind;
}
/** `file` is relative to the root. */
interface PictureChild extends Child {
  file: string;
}

/** Children that are handed on together. */
const LOT = 1024;
/** A name of these alone is printable as it is. */
const PLAIN = /^[ -[\]-~]*$/;

/** The children of a folder, streamed in lots. */
async function* children(folder: string): AsyncGenerator<readonly Child[]> {
  // A character a byte, because not every name is UTF-8.
  const opened = await opendir(fromPrintable(folder), {encoding: 'latin1', bufferSize: LOT});
  try {
    for (;;) {
      const lot: Child[] = [];
      for (let child; lot.length < LOT && (child = opened.readSync()) !== null;)
        lot.push({
          name: PLAIN.test(child.name) ? child.name : toPrintable(Buffer.from(child.name, 'latin1')),
          kind: child.isFile() ? 'file' : child.isDirectory() ? 'folder' : child.isSymbolicLink() ? 'link' : 'other',
        });
      if (lot.length > 0) yield lot;
      if (lot.length < LOT) return;
    }
  } finally {
    await opened.close();
  }
}

/**
 * The class that a folder's printable name stands for: the name as other sources write it, or its escaped form where it
 * is no UTF-8.
 */
function labelOf(name: string): string {
  const bytes = Buffer.from(fromPrintable(name));
  return isUtf8(bytes) ? bytes.toString('utf8') : name;
}

/** Opens a folder of images. Throws a data error where it is no folder that can be read. */
export async function openFolder(
  root: string,
  {labelled, ownFolders = []}: Pick<SourceOptions, 'labelled' | 'ownFolders'>,
): Promise<Source> {
  const real = await realpath(fromPrintable(root), {encoding: 'buffer'});
  if (!(await lstat(real)).isDirectory())
    throw new UserError('UNREADABLE_SOURCE', `${root} is a file; expected a folder of images.`);
  const inside = Buffer.concat([real, Buffer.from('/')]);
  const notes: string[] = [];
  const realRoot = toPrintable(real);
  const homes = new Set(await Promise.all(ownFolders.map(realPathOf)));
  const nothing = () => ({service: new LeftOut(), sideFiles: 0, own: Array<string>()});
  /** Of the listing under way. */
  let leftOut = nothing();

  /** The children of one of our folders (a path relative to the root) that may be pictures or hold some. */
  async function* pictureChildren(folder: string): AsyncGenerator<readonly PictureChild[]> {
    for await (const lot of children(folder === '' ? root : `${root}/${folder}`)) {
      const found: PictureChild[] = [];
      for (const {name, kind} of lot) {
        const file = folder === '' ? name : `${folder}/${name}`;
        if (isServiceName(name)) leftOut.service.add(file);
        else if (kind === 'folder' && homes.has(`${realRoot}/${file}`)) leftOut.own.push(file);
        else found.push({name, kind, file});
      }
      yield found;
    }
  }

  /**
   * What a link leads to, as an entry; null where it is a folder, which is not walked: its images are found where they
   * lie.
   */
  async function followLink(file: string, label: string | null): Promise<Entry | null> {
    try {
      const target = await realpath(fromPrintable(`${root}/${file}`), {encoding: 'buffer'});
      if (!target.subarray(0, inside.length).equals(inside))
        return refusedFile(file, 'OUTSIDE_ROOT', `a link to ${toPrintable(target)}`);
      const found = await stat(target);
      if (found.isDirectory()) {
        notes.push(`${file} is a link to a folder and was not followed`);
        return null;
      }
      return found.isFile()
        ? fileEntry(file, label)
        : refusedFile(file, 'NOT_A_FILE', `a link to a pipe, socket or device`);
    } catch (error) {
      const code = systemCode(error);
      if (code === null) throw error;
      return refusedFile(file, 'UNREADABLE', `a link that cannot be followed (${code})`);
    }
  }

  /** All files below `start`, folder by folder; only the names of folders still to visit are held. */
  async function* walk(start: string, label: string | null, signal: AbortSignal): AsyncGenerator<readonly Entry[]> {
    const toVisit = [start];
    for (let folder = toVisit.pop(); folder !== undefined; folder = toVisit.pop()) {
      try {
        for await (const lot of pictureChildren(folder)) {
          signal.throwIfAborted();
          const listed: Entry[] = [];
          for (const {name, kind, file} of lot) {
            if (kind === 'folder') toVisit.push(file);
            else if (sideFile.test(name)) leftOut.sideFiles++;
            else if (kind === 'file') listed.push(fileEntry(file, label));
            else if (kind === 'other') listed.push(refusedFile(file, 'NOT_A_FILE', 'a pipe, socket or device'));
            else {
              const entry = await followLink(file, label);
              if (entry !== null) listed.push(entry);
            }
          }
          yield listed;
        }
      } catch (error) {
        const code = systemCode(error);
        if (code === null) throw error;
        yield [refusedFile(folder === '' ? '.' : folder, 'UNREADABLE', `this folder cannot be listed (${code})`)];
      }
    }
  }

  async function classNames(): Promise<string[]> {
    const names: string[] = [];
    for await (const lot of pictureChildren(''))
      for (const {name, kind} of lot) if (kind === 'folder') names.push(labelOf(name));
    return names.sort();
  }

  async function* labelledEntries(signal: AbortSignal): AsyncGenerator<readonly Entry[]> {
    const folders: string[] = [];
    for await (const lot of pictureChildren('')) {
      const stray: Entry[] = [];
      for (const {name, kind} of lot) {
        if (kind === 'folder') folders.push(name);
        else if (kind === 'link') notes.push(`${name} is a link in the place of a class folder and was not followed`);
        else if (sideFile.test(name)) leftOut.sideFiles++;
        else stray.push(refusedFile(name, 'NO_LABEL', 'lies in no class folder'));
      }
      yield stray;
    }
    for (const name of folders.sort()) yield* walk(name, labelOf(name), signal);
  }

  async function* entries(signal: AbortSignal): AsyncGenerator<readonly Entry[]> {
    leftOut = nothing();
    notes.length = 0;
    yield* labelled ? labelledEntries(signal) : walk('', null, signal);
    const {service, sideFiles, own} = leftOut;
    if (sideFiles > 0)
      notes.push(`${sideFiles} side file${sideFiles === 1 ? '' : 's'} (such as .txt, .csv, .json) left out`);
    notes.push(...service.note('hidden or service file or folder', 'hidden or service files and folders'));
    if (own.length > 0)
      notes.push(
        `pupil's own ${own.sort().join(', ')} left out: nothing that the home holds is a picture of a folder around it`,
      );
  }

  async function* files(signal: AbortSignal): AsyncGenerator<NamedFiles> {
    for await (const lot of entries(signal))
      yield {folder: root, names: lot.flatMap(({file, problem}) => (problem === null ? [file] : []))};
  }

  return {root, notes, warnings: [], entries, files, classes: async () => (labelled ? await classNames() : null)};
}

/** The path with its links resolved; as it is where nothing lies there. */
const realPathOf = async (path: string): Promise<string> =>
  await realpath(fromPrintable(path), {encoding: 'buffer'}).then(toPrintable, () => path);
