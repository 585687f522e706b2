/** Recognises a source of images from what the user typed, and opens it. */
import {open, readdir, stat} from 'node:fs/promises';
import {basename, resolve} from 'node:path';
import {constants, gunzipSync} from 'node:zlib';
import {isCifar, sourceKinds, type SourceKind, type SourceSpec} from '../children/protocol.js';
import {systemCode, UserError} from '../errors.js';
import type {CifarKind} from './cifar.js';
import {openCifar, recordFiles} from './cifar.js';
import {openFolder} from './folder.js';
import type {Source, SourceOptions} from './listing.js';
import {statOrNull} from './listing.js';
import {isManifest, openManifest} from './manifest.js';
import {fromPrintable, toPrintable} from './printable-path.js';
import {isServiceName} from './service-files.js';
import {imageExtensions, isShardPattern, openWebDataset} from './webdataset.js';

export type {Entry, Source, SourceOptions} from './listing.js';

/** The folders that the official CIFAR archives unpack to. */
const cifarFolders: Record<CifarKind, string> = {cifar10: 'cifar-10-batches-bin', cifar100: 'cifar-100-binary'};

const expected =
  'Expected a folder of images, a folder or archive of the binary version of CIFAR, WebDataset .tar files, or a .csv, .jsonl or .parquet list';

/** By its name alone. */
const isPicture = (name: string) => imageExtensions.has(name.slice(name.lastIndexOf('.') + 1).toLowerCase());
const exists = async (path: string) => (await statOrNull(path)) !== null;

/** Splits `kind:path?split=train` into its parts; all but the path may be missing. */
async function splitSpec(
  spec: string,
  baseDir: string,
): Promise<{kind: SourceKind | null; path: string; split: 'train' | 'test' | null}> {
  const prefix = /^([a-z0-9]+):/.exec(spec)?.[1];
  const kind = sourceKinds.find(known => known === prefix) ?? null;
  const absolute = (text: string) => toPrintable(Buffer.from(resolve(baseDir, text)));
  const rest = kind === null ? spec : spec.slice(kind.length + 1);
  if (rest === '') throw new UserError('BAD_SOURCE', `"${spec}" names no path. ${expected}.`);

  const query = /^(.*)\?([^?]*)$/.exec(rest);
  if (query === null || (await exists(absolute(rest)))) return {kind, path: absolute(rest), split: null};
  const [, path = '', setting = ''] = query;
  if (setting !== 'split=train' && setting !== 'split=test')
    throw new UserError('BAD_SOURCE', `"?${setting}" in "${spec}" is unknown. Expected ?split=train or ?split=test.`);
  return {kind, path: absolute(path), split: setting === 'split=train' ? 'train' : 'test'};
}

/** The name of the first member of a tar or .tar.gz, from its first bytes alone. */
async function firstMemberName(path: string): Promise<string> {
  const file = await open(fromPrintable(path), 'r');
  try {
    const head = Buffer.alloc(64 * 1024);
    const {bytesRead} = await file.read(head, 0, head.length, 0);
    const bytes = head.subarray(0, bytesRead);
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
    const tar = isGzip ? gunzipSync(bytes, {finishFlush: constants.Z_SYNC_FLUSH}) : bytes;
    return tar.toString('latin1', 0, 100).replace(/\0.*$/s, '');
  } catch (error) {
    if (systemCode(error) !== null) throw error;
    return ''; // No gzip after all.
  } finally {
    await file.close();
  }
}

async function recogniseFile(path: string): Promise<SourceKind> {
  if (isManifest(path)) return 'manifest';
  if (/\.(tar|tar\.gz|tgz)$/.test(path)) {
    const name = await firstMemberName(path);
    if (name.startsWith(cifarFolders.cifar100)) return 'cifar100';
    if (name.startsWith(cifarFolders.cifar10)) return 'cifar10';
    if (/^cifar-10(0-python|-batches-py)/.test(name))
      throw new UserError(
        'UNREADABLE_SOURCE',
        `${path} is the Python version of CIFAR. Expected the binary version: cifar-10-binary.tar.gz or cifar-100-binary.tar.gz.`,
      );
    if (path.endsWith('.tar')) return 'webdataset';
    throw new UserError(
      'UNREADABLE_SOURCE',
      `${path} is a compressed archive. Images are read at random places: unpack it with  gunzip --keep '${path}'  and give the .tar.`,
    );
  }
  throw new UserError('UNREADABLE_SOURCE', `${path} is a file of an unknown kind. ${expected}.`);
}

async function recogniseFolder(path: string): Promise<SourceKind> {
  const children = (await readdir(fromPrintable(path), {encoding: 'buffer', withFileTypes: true})).map(child => ({
    name: toPrintable(child.name),
    isFolder: child.isDirectory(),
  }));
  const names = new Set(children.map(({name}) => name));
  if (names.has('train.bin') || names.has('test.bin') || names.has(cifarFolders.cifar100)) return 'cifar100';
  if (names.has('data_batch_1.bin') || names.has('test_batch.bin') || names.has(cifarFolders.cifar10)) return 'cifar10';
  if (names.has('cifar-100-python') || names.has('cifar-10-batches-py') || names.has('data_batch_1')) {
    throw new UserError(
      'UNREADABLE_SOURCE',
      `${path} holds the Python version of CIFAR. Expected the binary version, which unpacks to ${cifarFolders.cifar10} or ${cifarFolders.cifar100}.`,
    );
  }
  const seen = children.filter(({name}) => !isServiceName(name));
  const tar = seen.find(({name, isFolder}) => !isFolder && name.endsWith('.tar'));
  if (tar === undefined) return 'folder';
  // An archive beside the folders that came out of it is no reason to leave those out, nor they to leave it out.
  const other = seen.find(({name, isFolder}) => isFolder || isPicture(name));
  if (other === undefined) return 'webdataset';
  throw new UserError(
    'BAD_SOURCE',
    `${path} holds archives (${tar.name}) and ${other.isFolder ? 'folders' : 'pictures'} (${other.name}) beside them. Say which are meant: webdataset:${path} for the archives alone, folder:${path} for the others.`,
  );
}

/** Where the record files lie: in `path` itself, or in the folder that the archive unpacked to, one below. */
async function cifarFolder(kind: CifarKind, path: string): Promise<string> {
  const below = `${path}/${cifarFolders[kind]}`;
  return basename(path) !== cifarFolders[kind] && (await exists(below)) ? below : path;
}

/**
 * Recognises a source from what the user typed: `kind:path`, or a bare path whose kind is found by looking at it.
 * Relative paths start at `baseDir`. Throws a usage error for a path that is not there or a split of something that has
 * none, and a data error for things that are no source of images.
 */
export async function parseSource(spec: string, baseDir: string): Promise<SourceSpec> {
  const {kind: named, path, split} = await splitSpec(spec, baseDir);
  const isPattern = isShardPattern(path) && (named === 'webdataset' || named === null) && !(await exists(path));
  const found = isPattern
    ? null
    : await stat(fromPrintable(path)).catch((error: unknown) => {
        if (systemCode(error) === null) throw error;
        throw new UserError(
          'BAD_SOURCE',
          `"${spec}" cannot be opened: ${systemCode(error) === 'ENOENT' ? `there is nothing at ${path}` : String(systemCode(error))}. ${expected}.`,
          {cause: error},
        );
      });
  const kind =
    named ??
    (found === null ? 'webdataset' : found.isDirectory() ? await recogniseFolder(path) : await recogniseFile(path));

  if (split !== null && !isCifar(kind))
    throw new UserError(
      'BAD_SOURCE',
      `"${spec}" asks for a split, but ${path} is a source of kind "${kind}", which has none.`,
    );
  if (kind === 'folder' && found?.isFile())
    throw new UserError('BAD_SOURCE', `"${spec}" is a file; a source of kind "folder" is a folder of images.`);
  if (kind === 'manifest' && !(found?.isFile() && isManifest(path)))
    throw new UserError(
      'BAD_SOURCE',
      `"${spec}" is no .csv, .jsonl or .parquet file, which a source of kind "manifest" is.`,
    );
  if (kind === 'webdataset' && found?.isFile() && !path.endsWith('.tar'))
    throw new UserError('BAD_SOURCE', `"${spec}" is no .tar file, which a shard of kind "webdataset" is.`);
  if (isCifar(kind)) {
    const isArchive = /\.(tar|tar\.gz|tgz)$/.test(path);
    if (found?.isFile() && !isArchive)
      throw new UserError(
        'BAD_SOURCE',
        `"${spec}" is neither a folder nor a .tar.gz, which a source of kind "${kind}" is: ${recordFiles(kind).join(', ')}.`,
      );
    return {kind, path: isArchive ? path : await cifarFolder(kind, path), split};
  }
  return {kind, path, split};
}

/** Opens a recognised source. Throws a data error where there is nothing in it to list. */
export async function openSource(spec: SourceSpec, options: SourceOptions): Promise<Source> {
  const {kind, path} = spec;
  switch (kind) {
    case 'cifar10':
    case 'cifar100':
      return await openCifar({...spec, kind}, options);
    case 'webdataset':
      return await openWebDataset(path, options);
    case 'manifest':
      return openManifest(path, options);
    case 'folder':
      return await openFolder(path, options);
  }
}
