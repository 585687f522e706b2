/** How the engine knows that a file is still the one that was written: by its hash, which is taken once. */
import {createHash} from 'node:crypto';
import {createReadStream, type BigIntStats} from 'node:fs';
import {lstat, open, readdir, rm, rmdir, stat} from 'node:fs/promises';
import path from 'node:path';
import {systemCode} from '../errors.js';
import type {FileHashes, FileStamp} from '../store/file-hashes.js';

/** SHA-256 of a file, in hex. */
export async function hashFile(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, {highWaterMark: 1 << 20, ...(signal && {signal})}))
    hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Reads a file that has several names only once. Throws where it cannot be read. */
export type HashOnce = (file: string, signal: AbortSignal) => Promise<string>;

export function hashOnce(): HashOnce {
  const known = new Map<string, string>();
  return async (file, signal) => {
    const {dev, ino} = await stat(file, {bigint: true});
    const key = `${dev} ${ino}`;
    const sha256 = known.get(key) ?? (await hashFile(file, signal));
    known.set(key, sha256);
    return sha256;
  };
}

/** SHA-256 of a file, read only where it is not known for a file of this stamp. Null where there is no file. */
export async function hashOf(file: string, hashes: FileHashes, signal?: AbortSignal): Promise<string | null> {
  const stamp = await stampOf(file);
  if (stamp === null) return null;
  const known = hashes.get(stamp);
  if (known !== null) return known;
  return await hashAnew(file, stamp, hashes, signal);
}

/**
 * Whether a file is the one that had this hash. Where another one is known for it, it is read: what is known may be
 * garbled, and is then put right.
 */
export async function stateOf(
  file: string,
  sha256: string,
  hashes: FileHashes,
  signal?: AbortSignal,
): Promise<'whole' | 'missing' | 'changed'> {
  const stamp = await stampOf(file);
  if (stamp === null) return 'missing';
  if (hashes.get(stamp) === sha256) return 'whole';
  return (await hashAnew(file, stamp, hashes, signal)) === sha256 ? 'whole' : 'changed';
}

/** Of what is written to meanwhile nothing is known afterwards. */
async function hashAnew(file: string, stamp: FileStamp, hashes: FileHashes, signal?: AbortSignal): Promise<string> {
  const sha256 = await hashFile(file, signal);
  const after = await stampOf(file);
  if (after?.file === stamp.file && after.stamp === stamp.stamp) hashes.set(stamp, sha256);
  return sha256;
}

/**
 * What changes when a file's bytes do, as far as the file system tells: disk and inode, size, both times. Null where
 * there is no file.
 */
export async function stampOf(file: string): Promise<FileStamp | null> {
  try {
    return stampOfStats(await stat(file, {bigint: true}));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return null;
    throw error;
  }
}

const stampOfStats = ({dev, ino, size, mtimeNs, ctimeNs}: BigIntStats): FileStamp => ({
  file: `${dev} ${ino}`,
  stamp: `${size} ${mtimeNs} ${ctimeNs}`,
});

/**
 * Removes a file or a folder. What is known of a file that has other names stays known: to lose a name changes its times.
 */
export async function removeKnown(place: string, hashes: FileHashes): Promise<void> {
  const stats = await lstat(place, {bigint: true}).catch((error: unknown) => {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return null;
    throw error;
  });
  if (stats === null) return;
  if (stats.isDirectory()) {
    for (const name of await readdir(place)) await removeKnown(path.join(place, name), hashes);
    await rmdir(place);
    return;
  }
  const known = stats.isFile() && stats.nlink > 1n ? hashes.get(stampOfStats(stats)) : null;
  if (known === null) return await rm(place, {force: true});
  const file = await open(place, 'r');
  try {
    await rm(place, {force: true});
    hashes.set(stampOfStats(await file.stat({bigint: true})), known);
  } finally {
    await file.close();
  }
}
