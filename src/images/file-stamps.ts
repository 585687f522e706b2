/** A file in 64 bits: its name, its size and its times, so that whoever saw it before knows whether it is as it was. */
import {statSync, type Stats} from 'node:fs';
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

const numbers = new Float64Array(3);
const words = new Uint32Array(numbers.buffer);
const lanes = new Uint32Array(2);
const both = new BigUint64Array(lanes.buffer);

/** Spreads every bit over all of a word, as the end of MurmurHash3 does (A. Appleby). */
function spread(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/**
 * The change time tells of a write that put the size and the modification time back. Two multiplicative hashes of 32
 * bits: nobody gains by making two files look alike, and a cryptographic one takes as long as the rest of the look.
 */
export function stampOf(name: string, {size, mtimeMs, ctimeMs}: Stats): bigint {
  numbers[0] = size;
  numbers[1] = mtimeMs;
  numbers[2] = ctimeMs;
  let [one, other] = [0x9e3779b9, 0x7f4a7c15];
  for (let at = 0; at < name.length; at++) {
    const unit = name.charCodeAt(at);
    one = Math.imul(one ^ unit, 0x01000193);
    other = Math.imul(other ^ unit, 0x5bd1e995);
  }
  for (const word of words) {
    one = spread(one ^ word) + 0x9e3779b9;
    other = Math.imul(spread(other ^ word) ^ 0x7f4a7c15, 0x5bd1e995);
  }
  lanes[0] = spread(one);
  lanes[1] = spread(other);
  return both[0]!;
}

/** Its absence is the difference that matters; its entry says why. */
function absent(error: unknown): null {
  if (systemCode(error) === null) throw error;
  return null;
}

function seen(names: readonly string[], stats: readonly (Stats | null)[]): SeenFiles {
  const stamps = new BigUint64Array(names.length);
  let bytes = 0;
  for (const [index, found] of stats.entries()) {
    if (!found) continue;
    stamps[index] = stampOf(names[index]!, found);
    bytes += found.size;
  }
  return {names, stamps, bytes};
}

/** Where a few are looked at: a file system that does not answer leaves the program to be stopped. */
export async function lookAtFew({folder, names}: NamedFiles): Promise<SeenFiles> {
  const looks = names.map(name => stat(fromPrintable(`${folder}/${name}`)).catch(absent));
  return seen(names, await Promise.all(looks));
}

/** Where there are many, in a thread that has nothing else to do: several times as fast. */
export function lookAtMany({folder, names}: NamedFiles): SeenFiles {
  return seen(
    names,
    names.map(name => statOf(`${folder}/${name}`)),
  );
}

/** Null where it is gone, or may not be looked at. */
export function statOf(path: string): Stats | null {
  try {
    return statSync(fromPrintable(path), {throwIfNoEntry: false}) ?? null;
  } catch (error) {
    return absent(error);
  }
}
