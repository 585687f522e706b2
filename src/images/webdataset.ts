/**
 * Images in tar shards as WebDataset lays them out: a picture by its last extension, its label in a member beside it
 * whose name begins as its own.
 */
import type {FileHandle} from 'node:fs/promises';
import {open, readdir} from 'node:fs/promises';
import {basename, dirname} from 'node:path';
import {systemCode, UserError} from '../errors.js';
import {decodeText, NotText} from '../files/text.js';
import {plural} from '../words.js';
import type {QuarantineCode} from '../children/protocol.js';
import {isExact, NOT_EXACT} from './class-name.js';
import type {Entry, Source, SourceOptions} from './listing.js';
import {inLots, refusedFile, statOrNull} from './listing.js';
import {fromPrintable, toPrintable} from './printable-path.js';
import {isServiceName, isServicePath, LeftOut} from './service-files.js';
import type {TarMember} from './tar.js';
import {readTar, TarDamage} from './tar.js';

/** Also of formats that are never opened: those pictures are set aside with that reason. */
export const imageExtensions: ReadonlySet<string> = new Set([
  'jpg',
  'jpeg',
  'jpe',
  'jfif',
  'png',
  'webp',
  'gif',
  'tif',
  'tiff',
  'avif',
  'heic',
  'heif',
  'bmp',
  'jp2',
  'jxl',
  'svg',
]);
/** Longest label file that is read. */
const MAX_LABEL_BYTES = 1024 * 1024;

/** A longer range is no list of shards: looking for each would take minutes. */
const MAX_SHARDS = 100_000;

/** One range of shard numbers in a path, such as `{000000..000099}`. */
const range = /\{(\d+)\.\.(\d+)\}/;

export const isShardPattern = (path: string) => range.test(path);

/**
 * The paths that a pattern with a range stands for; null for a path without one. Throws (exit 2) for a range that means
 * nothing.
 */
function shardPaths(path: string): {root: string; paths: string[]} | null {
  const match = range.exec(path);
  if (match === null) return null;
  const [text, first = '', last = ''] = match;
  const refuse = (what: string) => new UserError('BAD_SOURCE', `The range ${text} in ${path} ${what}.`);
  if (range.test(path.slice(match.index + text.length)))
    throw refuse(
      'is followed by another one; expected one range. Give the source several times, or put its shards into one folder and give that',
    );
  if (/^0\d/.test(first) && first.length !== last.length)
    throw refuse(
      'begins and ends with numbers of different widths; write both as long as in the names of the shards, such as {000..012}',
    );
  if (Number(first) > Number(last)) throw refuse(`runs backwards; expected {${last}..${first}}`);
  const count = Number(last) - Number(first) + 1;
  if (count > MAX_SHARDS)
    throw refuse(
      `stands for ${plural(count, 'shard')}; at most ${plural(MAX_SHARDS, 'shard')} are looked for. Give the range that is there, or the folder`,
    );
  const numbers = Array.from({length: count}, (_, index) => String(Number(first) + index).padStart(first.length, '0'));
  return {root: dirname(path.slice(0, match.index) + 'x'), paths: numbers.map(number => path.replace(text, number))};
}

interface Shards {
  root: string;
  shards: string[];
  /** What is to be told of them. */
  notes: string[];
  warnings: string[];
}

/** The shards of `path` as files below a root. */
async function findShards(path: string): Promise<Shards> {
  const found = await statOrNull(path);
  if (found === null) {
    const pattern = shardPaths(path);
    if (pattern === null) throw new UserError('UNREADABLE_SOURCE', `No .tar shard found at ${path}.`);
    const {root, paths} = pattern;
    const shards: string[] = [];
    const missing: string[] = [];
    for (const shard of paths)
      ((await statOrNull(shard))?.isFile() === true ? shards : missing).push(shard.slice(root.length + 1));
    return {root, shards, notes: [], warnings: missingWarning(missing)};
  }
  if (found.isFile()) return {root: dirname(path), shards: [basename(path)], notes: [], warnings: []};
  const names = (await readdir(fromPrintable(path), {encoding: 'buffer'})).map(toPrintable).sort();
  const service = new LeftOut();
  const others = new LeftOut();
  const shards: string[] = [];
  for (const name of names) {
    if (isServiceName(name)) service.add(name);
    else if (name.endsWith('.tar')) shards.push(name);
    else others.add(name);
  }
  const notes = [
    ...service.note('hidden or service file or folder', 'hidden or service files and folders'),
    ...others.note('file or folder beside the .tar shards', 'files and folders beside the .tar shards'),
  ];
  return {root: path, shards, notes, warnings: missingWarning(gaps(shards))};
}

const missingWarning = (missing: string[]): string[] =>
  missing.length === 0
    ? []
    : [
        `missing among the shards: ${missing.slice(0, 20).join(', ')}${missing.length > 20 ? ` and ${missing.length - 20} more` : ''}`,
      ];

/** Shards that a folder lacks: between its first and last number, in a row of names that differ only there. */
function gaps(shards: string[]): string[] {
  const numbered = shards.map(shard => /^(.*?)(\d+)(\.tar)$/.exec(shard));
  const [head, ...others] = numbered;
  if (!head || others.some(other => other === null || other[1] !== head[1] || other[2]?.length !== head[2]?.length))
    return [];
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

interface MemberName {
  /** Up to the first dot of its last part: what WebDataset takes for the name of a sample. */
  sample: string;
  /** Up to its last dot. */
  stem: string;
  /** Behind its last dot, in lower case. */
  extension: string;
}

function splitName(name: string): MemberName {
  const base = name.lastIndexOf('/') + 1;
  const first = name.indexOf('.', base);
  const last = name.lastIndexOf('.');
  return first === -1
    ? {sample: name, stem: name, extension: ''}
    : {sample: name.slice(0, first), stem: name.slice(0, last), extension: name.slice(last + 1).toLowerCase()};
}

/** Why a member is not read, though its name says it is an image. */
function refusal({name, kind}: TarMember): {code: QuarantineCode; detail: string} | null {
  if (name.startsWith('/') || name.split('/').includes('..'))
    return {code: 'OUTSIDE_ROOT', detail: 'a member name that leads out of the archive'};
  if (kind !== 'file') return {code: 'NOT_A_FILE', detail: `a tar member of kind "${kind}"`};
  return null;
}

const mayLabel = ({kind}: TarMember, extension: string): boolean =>
  kind === 'file' && (extension === 'cls' || extension === 'json');

/**
 * The label in a .cls file (a number or a name) or under `label`, `class` or `cls` in a .json file. Null where there is
 * none; throws a data error for a number that may not be the one that was written.
 */
function parseLabel(extension: string, text: string, place: string): string | null {
  if (extension === 'cls') return text.trim() || null;
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    return null; // Damaged JSON labels nothing; the image says so.
  }
  if (typeof fields !== 'object' || fields === null) return null;
  for (const key of ['label', 'class', 'cls']) {
    const value: unknown = Reflect.get(fields, key);
    if (typeof value === 'number' && !isExact(value))
      throw new UserError('UNREADABLE_SOURCE', `The ${key} in ${place} is ${NOT_EXACT}.`);
    if (typeof value === 'string' || typeof value === 'number') return String(value).trim() || null;
  }
  return null;
}

/** The text of a label's member. Throws a data error that names it where it is no UTF-8. */
async function readText(tar: FileHandle, {name, offset, size}: TarMember, shard: string): Promise<string> {
  if (size > MAX_LABEL_BYTES) return '';
  const bytes = Buffer.alloc(size);
  await tar.read(bytes, 0, size, offset);
  try {
    return decodeText(bytes);
  } catch (error) {
    if (error instanceof NotText)
      throw new UserError('UNREADABLE_SOURCE', `The label ${shard}#${name} cannot be read: ${error.message}`, {
        cause: error,
      });
    throw error;
  }
}

interface SampleImage {
  member: TarMember;
  stem: string;
}

/** Members of a shard that share a name up to its first dot, one after the other. */
class Sample {
  readonly images: SampleImage[] = [];
  /** By the name that their member has up to its last dot. */
  private readonly labels = new Map<string, string>();

  constructor(readonly name: string) {}

  addLabel(stem: string, label: string | null): void {
    if (label !== null && !this.labels.has(stem)) this.labels.set(stem, label);
  }

  /**
   * Whether it is what WebDataset calls another field of a picture: `1.seg.png` beside `1.jpg`. `1.002.jpg` is a
   * picture of its own.
   */
  isCompanion({stem}: SampleImage): boolean {
    return !/^(\.\d+)*$/.test(stem.slice(this.name.length)) && this.images.some(image => image.stem === this.name);
  }

  /** The label whose member is named as the picture is, else the one that the whole sample has. */
  labelOf(stem: string): string | null {
    return this.labels.get(stem) ?? this.labels.get(this.name) ?? null;
  }
}

/**
 * Opens tar shards: `path` is a pattern with a range, one .tar, or a folder of them. Throws a data error where there is
 * none.
 */
export async function openWebDataset(path: string, {labelled}: Pick<SourceOptions, 'labelled'>): Promise<Source> {
  const {root, shards, ...found} = await findShards(path);
  if (shards.length === 0) throw new UserError('UNREADABLE_SOURCE', `No .tar shard found at ${path}.`);
  const notes: string[] = [];
  const warnings: string[] = [];

  function entryOf(file: string, member: TarMember, label: string | null): Entry {
    const unlabelled = {
      code: 'NO_LABEL',
      detail: 'no label: neither a .cls nor a .json member with a label beside it',
    } as const;
    const problem = refusal(member) ?? (labelled && label === null ? unlabelled : null);
    return {
      file,
      member: member.name,
      offset: member.offset,
      length: member.size,
      encoding: 'encoded',
      label: problem === null ? label : null,
      problem,
    };
  }

  async function* shardEntries(
    file: string,
    leftOut: Record<'service' | 'noPictures' | 'companions', LeftOut>,
    signal: AbortSignal,
  ): AsyncGenerator<Entry> {
    const tar = await open(fromPrintable(`${root}/${file}`), 'r');
    try {
      let sample = new Sample('');
      function* listed(): Generator<Entry> {
        for (const image of sample.images) {
          if (sample.isCompanion(image)) leftOut.companions.add(`${file}#${image.member.name}`);
          else yield entryOf(file, image.member, sample.labelOf(image.stem));
        }
      }
      try {
        for await (const member of readTar(tar, signal)) {
          if (member.kind === 'folder' && member.name.endsWith('/')) continue;
          const {sample: name, stem, extension} = splitName(member.name);
          if (isServicePath(member.name)) leftOut.service.add(`${file}#${member.name}`);
          else if (!imageExtensions.has(extension) && !(labelled && mayLabel(member, extension)))
            leftOut.noPictures.add(`${file}#${member.name}`);
          else {
            if (name !== sample.name) {
              yield* listed();
              sample = new Sample(name);
            }
            if (imageExtensions.has(extension)) sample.images.push({member, stem});
            else
              sample.addLabel(
                stem,
                parseLabel(extension, await readText(tar, member, `${root}/${file}`), `${root}/${file}#${member.name}`),
              );
          }
        }
      } catch (error) {
        if (!(error instanceof TarDamage)) throw error;
        warnings.push(`${file} is partial: ${error.message}; its complete members are kept`);
      }
      yield* listed();
    } finally {
      await tar.close();
    }
  }

  return {
    root,
    notes,
    warnings,
    classes: () => Promise.resolve(null),
    async *files() {
      for await (const names of inLots(shards)) yield {folder: root, names};
    },
    async *entries(signal) {
      notes.splice(0, Infinity, ...found.notes);
      warnings.splice(0, Infinity, ...found.warnings);
      const leftOut = {service: new LeftOut(), noPictures: new LeftOut(), companions: new LeftOut()};
      for (const shard of shards) {
        try {
          yield* inLots(shardEntries(shard, leftOut, signal));
        } catch (error) {
          const code = systemCode(error);
          if (code === null) throw error;
          yield [refusedFile(shard, 'UNREADABLE', `this shard cannot be read (${code})`)];
        }
      }
      notes.push(
        ...leftOut.service.note('hidden or service member', 'hidden or service members'),
        ...leftOut.noPictures.note('member that is no picture', 'members that are no pictures'),
        ...leftOut.companions.note(
          'member that describes the picture beside it',
          'members that describe the picture beside them',
        ),
      );
    },
  };
}
