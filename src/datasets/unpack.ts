/** Unpacks a .zip or .tar.gz into a folder: plain files and folders only, and nothing outside of it. */
import {createReadStream, createWriteStream} from 'node:fs';
import {mkdir, open, rm} from 'node:fs/promises';
import path from 'node:path';
import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {createGunzip} from 'node:zlib';
import {openPromise, type Entry} from 'yauzl';
import {systemCode, throwIfStopped, UserError} from '../errors.js';
import {readTar, TarDamage} from '../images/tar.js';

/** A file in an archive, and how its bytes are had. */
interface Member {
  /** As the archive has it. */
  readonly name: string;
  readonly kind: 'file' | 'folder' | 'other';
  readonly read: () => Promise<Readable>;
}

export interface Unpacking {
  readonly archive: string;
  readonly format: 'zip' | 'tar.gz';
  /** An empty folder, where the contents of the archive's one folder come to lie. */
  readonly into: string;
  /** The name of that one folder. What lies beside it in the archive is left out. */
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly onFile: (done: number) => void;
}

/** Throws a data error (exit 3) for an archive that is damaged, or whose members are links or would lie elsewhere. */
export async function unpack({archive, format, into, folder, signal, onFile}: Unpacking): Promise<void> {
  const made = new Set<string>();
  const makeFolder = async (relative: string) => {
    if (made.has(relative)) return;
    await mkdir(path.join(into, relative), {recursive: true});
    made.add(relative);
  };
  let files = 0;
  const members =
    format === 'zip' ? zipMembers(archive) : tarMembers(archive, path.join(into, '.unpacking.tar'), signal);
  try {
    for await (const {name, kind, read} of members) {
      throwIfStopped(signal);
      const relative = placeBelow(folder, name, archive);
      if (relative === null) continue;
      if (kind === 'other')
        throw new UserError(
          'DAMAGED_ARCHIVE',
          `${archive} holds ${name}, which is neither a file nor a folder. Nothing was unpacked.`,
        );
      await makeFolder(kind === 'folder' ? relative : path.posix.dirname(relative));
      if (kind === 'folder') continue;
      await pipeline(await read(), createWriteStream(path.join(into, relative), {flags: 'wx'}), {signal});
      onFile(++files);
    }
  } catch (error) {
    throwIfStopped(signal);
    throw explained(error, archive);
  }
  if (files === 0)
    throw new UserError('DAMAGED_ARCHIVE', `${archive} holds no folder ${folder}. Nothing was unpacked.`);
}

/** Where a member comes to lie, relative to the archive's one folder; null beside it. */
function placeBelow(folder: string, name: string, archive: string): string | null {
  const parts = name.replace(/\/$/, '').split('/');
  if (parts.some(part => part === '' || part === '.' || part === '..') || /[\\\0]/.test(name)) {
    throw new UserError(
      'DAMAGED_ARCHIVE',
      `${archive} holds ${JSON.stringify(name)}, a name that may lead out of the folder. Nothing was unpacked.`,
    );
  }
  return parts[0] === folder ? parts.slice(1).join('/') || '.' : null;
}

async function* zipMembers(archive: string): AsyncGenerator<Member> {
  const zip = await openPromise(archive, {strictFileNames: true});
  for await (const entry of zip.eachEntry()) {
    yield {name: entry.fileName, kind: kindOf(entry), read: () => zip.openReadStreamPromise(entry)};
  }
}

/** Unix zips keep a file's mode in the upper half of its attributes; others leave that empty. */
function kindOf({fileName, externalFileAttributes}: Entry): Member['kind'] {
  const type = (externalFileAttributes >>> 16) & 0o170000;
  if (type !== 0 && type !== 0o100000 && type !== 0o040000) return 'other';
  return fileName.endsWith('/') ? 'folder' : 'file';
}

/** A tar is read at random, so it is gunzipped first. */
async function* tarMembers(archive: string, plain: string, signal: AbortSignal): AsyncGenerator<Member> {
  await pipeline(createReadStream(archive), createGunzip(), createWriteStream(plain), {signal});
  const tar = await open(plain, 'r');
  try {
    for await (const {name, kind, offset, size} of readTar(tar, signal)) {
      const read = async () =>
        size === 0 ? Readable.from([]) : createReadStream(plain, {start: offset, end: offset + size - 1});
      yield {name, kind: kind === 'file' || kind === 'folder' ? kind : 'other', read};
    }
  } finally {
    await tar.close();
    await rm(plain, {force: true});
  }
}

/** What zlib and yauzl say about a damaged archive, as a data error; the disk's own complaints as they are. */
function explained(error: unknown, archive: string): unknown {
  if (!(error instanceof Error) || error.name === 'UserError') return error;
  if (systemCode(error) === 'EEXIST')
    return new UserError('DAMAGED_ARCHIVE', `${archive} holds a file twice (${error.message}).`, {cause: error});
  if (systemCode(error) !== null) return error;
  const code = 'code' in error ? String(error.code) : '';
  // yauzl throws plain errors.
  return error instanceof TarDamage || code.startsWith('Z_') || error.constructor === Error
    ? new UserError('DAMAGED_ARCHIVE', `${archive} is damaged: ${error.message}.`, {cause: error})
    : error;
}
