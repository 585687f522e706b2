/** How much room the removal of files and folders would give back. */
import type {BigIntStats} from 'node:fs';
import {lstat, readdir} from 'node:fs/promises';
import path from 'node:path';
import {systemCode} from '../errors.js';

/** A file that has another name elsewhere takes its room until that is gone, too. Links lead nowhere here. */
export async function freedBytes(places: Iterable<string>): Promise<number> {
  const found = new Map<string, {size: number; left: number}>();
  const add = ({dev, ino, nlink, size}: BigIntStats) => {
    const key = `${dev} ${ino}`;
    const file = found.get(key) ?? {size: Number(size), left: Number(nlink)};
    file.left--;
    found.set(key, file);
  };
  for (const place of places) await eachFile(place, add);
  return [...found.values()].reduce((sum, {size, left}) => sum + (left === 0 ? size : 0), 0);
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
