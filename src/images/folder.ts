/** Images as files in folders: one folder a class when labelled, any nesting when not. */
import {lstat, opendir, realpath, stat} from 'node:fs/promises';
import {dataError, systemCode} from '../errors.js';
import type {Entry, Source, SourceOptions} from './listing.js';
import {fileEntry, refusedFile, statFiles} from './listing.js';
import {fromPrintable, toPrintable} from './printable-path.js';

/** Files that data sets carry beside their images. Anything else that is no image is listed, and quarantined by the decoder. */
const sideFile = /^(readme|license|licence|thumbs\.db|desktop\.ini)|\.(txt|md|csv|tsv|json|jsonl|xml|ya?ml|npy|mat|sha256|md5)$/i;

type Kind = 'file' | 'folder' | 'link' | 'other';
interface Child {
  name: string;
  kind: Kind;
}

/** The visible children of a folder, streamed. Names come as bytes, because not every name is UTF-8. */
async function* children(folder: string): AsyncGenerator<Child> {
  // Typed as if names were strings; Buffer.from takes them either way.
  for await (const child of await opendir(fromPrintable(folder), {encoding: 'buffer' as BufferEncoding, bufferSize: 256})) {
    const name = toPrintable(Buffer.from(child.name));
    if (name.startsWith('.')) continue;
    yield {name, kind: child.isFile() ? 'file' : child.isDirectory() ? 'folder' : child.isSymbolicLink() ? 'link' : 'other'};
  }
}

/** Opens a folder of images. Throws a data error where it is no folder that can be read. */
export async function openFolder(root: string, {labelled}: Pick<SourceOptions, 'labelled'>): Promise<Source> {
  const real = await realpath(fromPrintable(root), {encoding: 'buffer'});
  if (!(await lstat(real)).isDirectory()) throw dataError(`${root} is a file; expected a folder of images.`);
  const inside = Buffer.concat([real, Buffer.from('/')]);
  const notes: string[] = [];

  /** What a link leads to, as an entry; null where it is a folder, which is not walked: its images are found where they lie. */
  async function followLink(file: string, label: string | null): Promise<Entry | null> {
    try {
      const target = await realpath(fromPrintable(`${root}/${file}`), {encoding: 'buffer'});
      if (!target.subarray(0, inside.length).equals(inside)) return refusedFile(file, 'OUTSIDE_ROOT', `a link to ${toPrintable(target)}`);
      const found = await stat(target);
      if (found.isDirectory()) {
        notes.push(`${file} is a link to a folder and was not followed`);
        return null;
      }
      return found.isFile() ? fileEntry(file, label) : refusedFile(file, 'NOT_A_FILE', `a link to a pipe, socket or device`);
    } catch (error) {
      const code = systemCode(error);
      if (code === null) throw error;
      return refusedFile(file, 'UNREADABLE', `a link that cannot be followed (${code})`);
    }
  }

  /** All files below `start`, folder by folder; only the names of folders still to visit are held. */
  async function* walk(start: string, label: string | null, counts: {sideFiles: number}, signal: AbortSignal): AsyncGenerator<Entry> {
    const toVisit = [start];
    for (let folder = toVisit.pop(); folder !== undefined; folder = toVisit.pop()) {
      try {
        for await (const {name, kind} of children(folder === '' ? root : `${root}/${folder}`)) {
          signal.throwIfAborted();
          const file = folder === '' ? name : `${folder}/${name}`;
          if (kind === 'folder') toVisit.push(file);
          else if (sideFile.test(name)) counts.sideFiles++;
          else if (kind === 'file') yield fileEntry(file, label);
          else if (kind === 'other') yield refusedFile(file, 'NOT_A_FILE', 'a pipe, socket or device');
          else {
            const entry = await followLink(file, label);
            if (entry !== null) yield entry;
          }
        }
      } catch (error) {
        const code = systemCode(error);
        if (code === null) throw error;
        yield refusedFile(folder === '' ? '.' : folder, 'UNREADABLE', `this folder cannot be listed (${code})`);
      }
    }
  }

  async function classNames(): Promise<string[]> {
    const names: string[] = [];
    for await (const {name, kind} of children(root)) if (kind === 'folder') names.push(name);
    return names.sort();
  }

  async function* entries(signal: AbortSignal): AsyncGenerator<Entry> {
    const counts = {sideFiles: 0};
    notes.length = 0;
    if (!labelled) {
      yield* walk('', null, counts, signal);
    } else {
      for await (const {name, kind} of children(root)) {
        if (kind === 'link') notes.push(`${name} is a link in the place of a class folder and was not followed`);
        else if (kind !== 'folder' && !sideFile.test(name)) yield refusedFile(name, 'NO_LABEL', 'lies in no class folder');
      }
      for (const name of await classNames()) yield* walk(name, name, counts, signal);
    }
    if (counts.sideFiles > 0) notes.push(`${counts.sideFiles} side file${counts.sideFiles === 1 ? '' : 's'} (such as .txt, .csv, .json) left out`);
  }

  async function* names(signal: AbortSignal): AsyncGenerator<string> {
    for await (const {file, problem} of entries(signal)) if (problem === null) yield file;
  }

  return {
    root,
    notes,
    entries,
    files: signal => statFiles(root, names(signal), signal),
    classes: async () => (labelled ? await classNames() : null),
  };
}
