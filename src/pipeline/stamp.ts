/**
 * How the engine knows that a file is still the one that was written: its hash, and the stamp that spares taking it
 * again.
 */
import {createHash} from 'node:crypto';
import {createReadStream} from 'node:fs';
import {stat} from 'node:fs/promises';
import {systemCode} from '../errors.js';

/** SHA-256 of a file, in hex. */
export async function hashFile(file: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, {highWaterMark: 1 << 20, ...(signal && {signal})}))
    hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/**
 * What changes when a file's bytes do, as far as the file system tells: size, both times, inode. Null where there is no
 * file.
 */
export async function stampOf(file: string): Promise<string | null> {
  try {
    const {size, mtimeNs, ctimeNs, ino} = await stat(file, {bigint: true});
    return `${size} ${mtimeNs} ${ctimeNs} ${ino}`;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return null;
    throw error;
  }
}
