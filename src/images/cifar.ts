/**
 * CIFAR-10 and CIFAR-100 in their binary version: fixed records of label bytes and 32x32 planes, in a folder or in the
 * archive as downloaded.
 */
import {createHash} from 'node:crypto';
import {createReadStream, createWriteStream} from 'node:fs';
import type {FileHandle} from 'node:fs/promises';
import {open, stat} from 'node:fs/promises';
import {basename, dirname} from 'node:path';
import {pipeline} from 'node:stream/promises';
import {createGunzip} from 'node:zlib';
import type {SourceSpec} from '../children/protocol.js';
import {UserError} from '../errors.js';
import type {NamedFiles} from './file-stamps.js';
import type {Entry, Source, SourceOptions} from './listing.js';
import {statOrNull} from './listing.js';
import {fromPrintable} from './printable-path.js';
import {publishFile} from '../files/publish.js';
import {decodeText, NotText} from '../files/text.js';
import {count, plural} from '../words.js';
import {isServicePath} from './service-files.js';
import {readTar, TarDamage} from './tar.js';

export const CIFAR_PIXEL_BYTES = 32 * 32 * 3;

/**
 * The files of each version, with the records that each of them has; `labelBytes` before the pixels, the last of which
 * is the (fine) label. From www.cs.toronto.edu/~kriz/cifar.html
 */
const layouts = {
  cifar10: {
    labelBytes: 1,
    classes: 10,
    namesFile: 'batches.meta.txt',
    train: ['data_batch_1.bin', 'data_batch_2.bin', 'data_batch_3.bin', 'data_batch_4.bin', 'data_batch_5.bin'],
    test: ['test_batch.bin'],
    records: {train: 10_000, test: 10_000},
  },
  cifar100: {
    labelBytes: 2,
    classes: 100,
    namesFile: 'fine_label_names.txt',
    train: ['train.bin'],
    test: ['test.bin'],
    records: {train: 50_000, test: 10_000},
  },
};
export type CifarKind = keyof typeof layouts;

/** The names of a version's record files, by which a folder or archive is recognised. */
export const recordFiles = (kind: CifarKind): string[] => [...layouts[kind].train, ...layouts[kind].test];

/** A part of a file: a .bin as it lies in a folder (offset 0), or inside a tar. */
interface Extent {
  name: string;
  file: string;
  offset: number;
  size: number;
}

/** Records that are read at a time. */
const RECORDS_PER_READ = 512;

/**
 * Unpacks `archive.tar.gz` to a plain .tar in `cache`, once for each version of the archive, and returns that tar's
 * name.
 */
async function gunzipOnce(archive: string, cache: string, signal: AbortSignal): Promise<string> {
  const target = await unpackedName(archive);
  if ((await statOrNull(`${cache}/${target}`)) !== null) return target;
  try {
    await publishFile(`${cache}/${target}`, temporary =>
      pipeline(createReadStream(fromPrintable(archive)), createGunzip(), createWriteStream(temporary), {signal}),
    );
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw new UserError('UNREADABLE_SOURCE', `${archive} is damaged (${error.message}). Download it again.`, {
        cause: error,
      });
    }
    throw error;
  }
  return target;
}

/** A name that changes with the archive, so that a cached tar is never that of another download. */
async function unpackedName(archive: string): Promise<string> {
  const {size, mtimeNs} = await stat(fromPrintable(archive), {bigint: true});
  const version = createHash('sha256').update(`${archive}\n${size}\n${mtimeNs}`).digest('hex').slice(0, 12);
  return `${basename(archive).replace(/\.(tar\.gz|tgz)$/, '')}-${version}.tar`;
}

const isGzip = (path: string) => /\.(tar\.gz|tgz)$/.test(path);

/** The bytes of an extent, at most `length` from `at` on. */
async function readExtent(handle: FileHandle, extent: Extent, at: number, length: number): Promise<Buffer> {
  const wanted = Buffer.allocUnsafe(Math.min(length, extent.size - at));
  const {bytesRead} = await handle.read(wanted, 0, wanted.length, extent.offset + at);
  return wanted.subarray(0, bytesRead);
}

/**
 * Opens a CIFAR folder, .tar or .tar.gz. Throws a data error where its record files or the names of its classes are
 * missing.
 */
export async function openCifar(
  spec: SourceSpec & {kind: CifarKind},
  {labelled, cache}: SourceOptions,
): Promise<Source> {
  const layout = layouts[spec.kind];
  const wanted = spec.split === null ? recordFiles(spec.kind) : layout[spec.split];
  const recordBytes = layout.labelBytes + CIFAR_PIXEL_BYTES;
  const isFolder = (await stat(fromPrintable(spec.path))).isDirectory();
  const root = isFolder ? spec.path : isGzip(spec.path) ? cache : dirname(spec.path);

  /** Every file of the data set that is there, under its plain name. */
  async function findExtents(signal: AbortSignal): Promise<Map<string, Extent>> {
    const extents = new Map<string, Extent>();
    if (isFolder) {
      for (const name of [...recordFiles(spec.kind), layout.namesFile]) {
        const found = await statOrNull(`${root}/${name}`);
        if (found !== null) extents.set(name, {name, file: name, offset: 0, size: found.size});
      }
    } else {
      const file = isGzip(spec.path) ? await gunzipOnce(spec.path, cache, signal) : basename(spec.path);
      const tar = await open(fromPrintable(`${root}/${file}`), 'r');
      try {
        for await (const member of readTar(tar, signal)) {
          const name = basename(member.name);
          if (member.kind !== 'file' || isServicePath(member.name)) continue;
          if (extents.has(name))
            throw new UserError(
              'UNREADABLE_SOURCE',
              `${spec.path} holds two files named ${name}. Download it again, or unpack it and give the folder that is meant.`,
            );
          extents.set(name, {name, file, offset: member.offset, size: member.size});
        }
      } catch (error) {
        if (error instanceof TarDamage)
          throw new UserError('UNREADABLE_SOURCE', `${spec.path} is damaged: ${error.message}. Download it again.`, {
            cause: error,
          });
        throw error;
      } finally {
        await tar.close();
      }
    }
    const missing = wanted.filter(name => !extents.has(name));
    if (missing.length > 0)
      throw new UserError(
        'UNREADABLE_SOURCE',
        `${spec.path} lacks ${missing.join(', ')} of the binary version of ${spec.kind}.`,
      );
    return extents;
  }

  async function readNames(extents: Map<string, Extent>): Promise<string[]> {
    const extent = extents.get(layout.namesFile);
    if (extent === undefined)
      throw new UserError(
        'UNREADABLE_SOURCE',
        `${spec.path} has no ${layout.namesFile}, which names its ${layout.classes} classes.`,
      );
    const handle = await open(fromPrintable(`${root}/${extent.file}`), 'r');
    const text = await readExtent(handle, extent, 0, extent.size).finally(() => handle.close());
    const names = textOf(text)
      .split('\n')
      .map(line => line.trim())
      .filter(line => line !== '');
    if (names.length !== layout.classes)
      throw new UserError(
        'UNREADABLE_SOURCE',
        `${layout.namesFile} in ${spec.path} names ${names.length} classes; expected ${layout.classes}.`,
      );
    const twice = names.find((name, position) => names.indexOf(name) < position);
    if (twice !== undefined)
      throw new UserError('UNREADABLE_SOURCE', `${layout.namesFile} in ${spec.path} names the class ${twice} twice.`);
    return names;
  }

  function textOf(bytes: Buffer): string {
    try {
      return decodeText(bytes);
    } catch (error) {
      if (error instanceof NotText)
        throw new UserError('UNREADABLE_SOURCE', `${layout.namesFile} in ${spec.path}: ${error.message}`, {
          cause: error,
        });
      throw error;
    }
  }

  async function* records(
    extent: Extent,
    names: string[] | null,
    signal: AbortSignal,
  ): AsyncGenerator<readonly Entry[]> {
    const memberName = (record: number) => (isFolder ? String(record) : `${extent.name}/${record}`);
    const place = {file: extent.file, encoding: 'cifar', label: null} as const;
    const handle = await open(fromPrintable(`${root}/${extent.file}`), 'r');
    try {
      const complete = Math.floor(extent.size / recordBytes);
      for (let first = 0; first < complete; first += RECORDS_PER_READ) {
        signal.throwIfAborted();
        const last = Math.min(first + RECORDS_PER_READ, complete);
        const bytes =
          names === null ? null : await readExtent(handle, extent, first * recordBytes, (last - first) * recordBytes);
        const lot: Entry[] = [];
        for (let record = first; record < last; record++) {
          const at = extent.offset + record * recordBytes + layout.labelBytes;
          const entry: Entry = {
            file: place.file,
            member: memberName(record),
            offset: at,
            length: CIFAR_PIXEL_BYTES,
            encoding: place.encoding,
            label: null,
            problem: null,
          };
          if (names === null || bytes === null) {
            lot.push(entry);
            continue;
          }
          const label = bytes[(record - first) * recordBytes + layout.labelBytes - 1] ?? layout.classes;
          const name = names[label];
          lot.push(
            name === undefined
              ? {...entry, problem: {code: 'BAD_RECORD', detail: `label ${label}; expected 0 to ${layout.classes - 1}`}}
              : {...entry, label: name},
          );
        }
        yield lot;
      }
      const rest = extent.size - complete * recordBytes;
      if (rest > 0) {
        const problem = {
          code: 'BAD_RECORD',
          detail: `${rest} bytes are left at the end; a record has ${recordBytes}`,
        } as const;
        yield [
          {
            ...place,
            member: memberName(complete),
            offset: extent.offset + complete * recordBytes,
            length: rest,
            problem,
          },
        ];
      }
    } finally {
      await handle.close();
    }
  }

  const warnings: string[] = [];
  /** Fewer than its authors put there may be what was wanted, or what a copy that broke off left. */
  function warnOfFew({name, size}: Extent): void {
    const [found, whole] = [
      Math.floor(size / recordBytes),
      layout.records[layout.test.includes(name) ? 'test' : 'train'],
    ];
    if (found < whole)
      warnings.push(
        `${name} holds ${plural(found, 'record')} of the ${count(whole)} that it has as published; if it was not cut on purpose, fetch it again`,
      );
  }

  return {
    root,
    notes: [],
    warnings,
    ...(!isFolder && isGzip(spec.path) && {unpack: (signal: AbortSignal) => gunzipOnce(spec.path, cache, signal)}),
    classes: async () => (labelled ? await readNames(await findExtents(new AbortController().signal)) : null),
    async *files(): AsyncGenerator<NamedFiles> {
      yield await Promise.resolve(
        isFolder
          ? {folder: root, names: [...wanted, layout.namesFile]}
          : {folder: dirname(spec.path), names: [basename(spec.path)]},
      );
    },
    async *entries(signal) {
      warnings.length = 0;
      const extents = await findExtents(signal);
      const names = labelled ? await readNames(extents) : null;
      for (const name of wanted) {
        const extent = extents.get(name);
        if (extent === undefined) continue;
        warnOfFew(extent);
        yield* records(extent, names, signal);
      }
    },
  };
}
