/** A file in 64 bits: its name, its size and its times, so that whoever saw it before knows whether it is as it was. */
import {hash} from 'node:crypto';
import {statSync, type BigIntStats} from 'node:fs';
import {stat} from 'node:fs/promises';
import {systemCode} from '../errors.js';
import {fromPrintable} from './printable-path.js';

/** What stands for a file that is gone, or that may not be looked at. */
export const NO_STAMP = 0n;

/** Files that are looked at together: names relative to a folder, both printable. */
export interface NamedFiles {
  readonly folder: string;
  readonly names: readonly string[];
}

/** What `NamedFiles` are like, in their order. */
export interface SeenFiles {
  readonly names: readonly string[];
  readonly stamps: BigUint64Array;
  /** Of all of them. */
  readonly bytes: number;
}

/** The change time tells of a write that put the size and the modification time back. */
export const stampOf = (name: string, {size, mtimeNs, ctimeNs}: BigIntStats): bigint =>
  hash('sha256', `${name}\0${size} ${mtimeNs} ${ctimeNs}`, 'buffer').readBigUInt64LE();

/** Its absence is the difference that matters; its entry says why. */
function absent(error: unknown): null {
  if (systemCode(error) === null) throw error;
  return null;
}

function seen(names: readonly string[], stats: readonly (BigIntStats | null | undefined)[]): SeenFiles {
  const stamps = new BigUint64Array(names.length);
  let bytes = 0;
  for (const [index, found] of stats.entries()) {
    if (!found) continue;
    stamps[index] = stampOf(names[index]!, found);
    bytes += Number(found.size);
  }
  return {names, stamps, bytes};
}

/** Where a few are looked at: a file system that does not answer leaves the program to be stopped. */
export async function lookAtFew({folder, names}: NamedFiles): Promise<SeenFiles> {
  const looks = names.map(name => stat(fromPrintable(`${folder}/${name}`), {bigint: true}).catch(absent));
  return seen(names, await Promise.all(looks));
}

/** Where there are many, in a thread that has nothing else to do: several times as fast. */
export function lookAtMany({folder, names}: NamedFiles): SeenFiles {
  const stats = names.map(name => {
    try {
      return statSync(fromPrintable(`${folder}/${name}`), {bigint: true, throwIfNoEntry: false});
    } catch (error) {
      return absent(error);
    }
  });
  return seen(names, stats);
}
