/** Images in tar shards as WebDataset lays them out: members that share a name up to its first dot are one sample. */
import type {FileHandle} from 'node:fs/promises';
import {open, readdir, stat} from 'node:fs/promises';
import {basename, dirname} from 'node:path';
import {dataError, systemCode} from '../errors.js';
import type {QuarantineCode} from '../children/protocol.js';
import type {Entry, Source, SourceOptions} from './listing.js';
import {refusedFile, statFiles, statOrNull} from './listing.js';
import {fromPrintable, toPrintable} from './printable-path.js';
import type {TarMember} from './tar.js';
import {readTar, TarDamage} from './tar.js';

const imageExtensions = new Set(['jpg', 'jpeg', 'png', 'webp', 'gif', 'tif', 'tiff', 'avif']);
/** Longest label file that is read. */
const MAX_LABEL_BYTES = 1024 * 1024;

/** One range of shard numbers in a path, such as `{000000..000099}`. */
const range = /\{(\d+)\.\.(\d+)\}/;

export const isShardPattern = (path: string) => range.test(path);

/** The shards of `path` as files below a root, and what is missing among them. */
async function findShards(path: string): Promise<{root: string; shards: string[]; missing: string[]}> {
  const match = range.exec(path);
  if (match !== null) {
    const [text, first = '', last = ''] = match;
    const root = dirname(path.slice(0, match.index) + 'x');
    const shards: string[] = [];
    const missing: string[] = [];
    for (let i = Number(first); i <= Number(last); i++) {
      const shard = path.replace(text, String(i).padStart(first.length, '0'));
      const isThere = (await statOrNull(shard))?.isFile() === true;
      (isThere ? shards : missing).push(shard.slice(root.length + 1));
    }
    return {root, shards, missing};
  }
  if ((await stat(fromPrintable(path))).isFile()) return {root: dirname(path), shards: [basename(path)], missing: []};
  const names = (await readdir(fromPrintable(path), {encoding: 'buffer'})).map(toPrintable);
  const shards = names.filter(name => name.endsWith('.tar') && !name.startsWith('.')).sort();
  return {root: path, shards, missing: gaps(shards)};
}

/** Shards that a folder lacks: between its first and last number, in a row of names that differ only there. */
function gaps(shards: string[]): string[] {
  const numbered = shards.map(shard => /^(.*?)(\d+)(\.tar)$/.exec(shard));
  const [head, ...others] = numbered;
  if (!head || others.some(other => other === null || other[1] !== head[1] || other[2]?.length !== head[2]?.length)) return [];
  const present = new Set(shards);
  const last = Number(numbered.at(-1)?.[2]);
  const missing: string[] = [];
  // A stray far-away number is no row of shards with a million gaps.
  for (let i = Number(head[2]); i < last && missing.length <= shards.length; i++) {
    const shard = `${head[1]}${String(i).padStart(head[2]?.length ?? 0, '0')}.tar`;
    if (!present.has(shard)) missing.push(shard);
  }
  return missing.length <= shards.length ? missing : [];
}

/** The name up to the first dot of its last part, and the extension after it in lower case. */
function splitName(name: string): {key: string; extension: string} {
  const dot = name.indexOf('.', name.lastIndexOf('/') + 1);
  return dot === -1 ? {key: name, extension: ''} : {key: name.slice(0, dot), extension: name.slice(dot + 1).toLowerCase()};
}

/** Why a member is not read, though its name says it is an image. */
function refusal({name, kind}: TarMember): {code: QuarantineCode; detail: string} | null {
  if (name.startsWith('/') || name.split('/').includes('..')) return {code: 'OUTSIDE_ROOT', detail: 'a member name that leads out of the archive'};
  if (kind !== 'file') return {code: 'NOT_A_FILE', detail: `a tar member of kind "${kind}"`};
  return null;
}

/** The label in a .cls file (a number or a name) or under `label`, `class` or `cls` in a .json file. Null where there is none. */
function parseLabel(extension: string, text: string): string | null {
  if (extension === 'cls') return text.trim() || null;
  try {
    const fields: unknown = JSON.parse(text);
    if (typeof fields !== 'object' || fields === null) return null;
    for (const key of ['label', 'class', 'cls']) {
      const value: unknown = Reflect.get(fields, key);
      if (typeof value === 'string' || typeof value === 'number') return String(value).trim() || null;
    }
  } catch {
    // Damaged JSON labels nothing; the image says so.
  }
  return null;
}

async function readText(tar: FileHandle, {offset, size}: TarMember): Promise<string> {
  if (size > MAX_LABEL_BYTES) return '';
  const bytes = Buffer.allocUnsafe(size);
  await tar.read(bytes, 0, size, offset);
  return bytes.toString('utf8');
}

/** Opens tar shards: `path` is a pattern with a range, one .tar, or a folder of them. Throws a data error where there is none. */
export async function openWebDataset(path: string, {labelled}: Pick<SourceOptions, 'labelled'>): Promise<Source> {
  const {root, shards, missing} = await findShards(path);
  if (shards.length === 0) throw dataError(`No .tar shard found at ${path}.`);
  const notes: string[] = [];

  async function* shardEntries(file: string, signal: AbortSignal): AsyncGenerator<Entry> {
    const tar = await open(fromPrintable(`${root}/${file}`), 'r');
    try {
      let sample: {key: string; images: TarMember[]; label: string | null} = {key: '', images: [], label: null};
      const listed = () =>
        sample.images.map((member): Entry => {
          const unlabelled = {code: 'NO_LABEL', detail: 'no label: neither a .cls nor a .json member with a label beside it'} as const;
          const problem = refusal(member) ?? (labelled && sample.label === null ? unlabelled : null);
          return {
            file,
            member: member.name,
            offset: member.offset,
            length: member.size,
            encoding: 'encoded',
            label: problem === null ? sample.label : null,
            problem,
          };
        });
      try {
        for await (const member of readTar(tar, signal)) {
          const {key, extension} = splitName(member.name);
          if (key !== sample.key) {
            yield* listed();
            sample = {key, images: [], label: null};
          }
          if (imageExtensions.has(extension)) sample.images.push(member);
          else if (labelled && member.kind === 'file' && (extension === 'cls' || extension === 'json')) {
            sample.label ??= parseLabel(extension, await readText(tar, member));
          }
        }
      } catch (error) {
        if (!(error instanceof TarDamage)) throw error;
        notes.push(`${file} is partial: ${error.message}; its complete members are kept`);
      }
      yield* listed();
    } finally {
      await tar.close();
    }
  }

  return {
    root,
    notes,
    classes: () => Promise.resolve(null),
    files: signal => statFiles(root, shards, signal),
    async *entries(signal) {
      notes.length = 0;
      if (missing.length > 0)
        notes.push(`missing among the shards: ${missing.slice(0, 20).join(', ')}${missing.length > 20 ? ` and ${missing.length - 20} more` : ''}`);
      for (const shard of shards) {
        try {
          yield* shardEntries(shard, signal);
        } catch (error) {
          const code = systemCode(error);
          if (code === null) throw error;
          yield refusedFile(shard, 'UNREADABLE', `this shard cannot be read (${code})`);
        }
      }
    },
  };
}
