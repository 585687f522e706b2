/** How much room the removal of files and folders would give back. */
import type {BigIntStats} from 'node:fs';
import {lstat, readdir} from 'node:fs/promises';
import path from 'node:path';
import {systemCode} from '../errors.js';

export interface Freed {
  /** Files and folders that would be removed as well. */
  readonly add: (places: Iterable<string>) => Promise<void>;
  /** Of all together: a file that has another name elsewhere takes its room until that is gone, too. */
  readonly bytes: () => number;
}

/** Links lead nowhere here. */
export function countFreed(): Freed {
  const names = new Map<string, bigint>();
  let bytes = 0;
  const add = ({dev, ino, nlink, size}: BigIntStats) => {
    const file = `${dev} ${ino}`;
    const left = (names.get(file) ?? nlink) - 1n;
    names.set(file, left);
    if (left === 0n) bytes += Number(size);
  };
  return {
    async add(places) {
      for (const place of places) await eachFile(place, add);
    },
    bytes: () => bytes,
  };
}

/** Of these places together. */
export async function freedBytes(places: Iterable<string>): Promise<number> {
  const freed = countFreed();
  await freed.add(places);
  return freed.bytes();
}

async function eachFile(place: string, add: (stats: BigIntStats) => void): Promise<void> {
  try {
    const stats = await lstat(place, {bigint: true});
    if (stats.isFile()) add(stats);
    else if (stats.isDirectory()) for (const name of await readdir(place)) await eachFile(path.join(place, name), add);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}
