/** Random numbers that depend on nothing but their key, so that each picture can be drawn alone and in any order. */
import {createHash} from 'node:crypto';

export interface Random {
  /** A real number in [low, high). */
  between(low: number, high: number): number;
  /** A whole number in low..high, both included. */
  whole(low: number, high: number): number;
  /** True in this share of all calls. */
  chance(share: number): boolean;
  /** One of the items, which must not be empty. */
  pick<T>(items: readonly T[]): T;
  /** `count` items made one after the other. */
  several<T>(count: number, make: (index: number) => T): T[];
}

/**
 * The stream of random numbers of a key: sfc32 (Chris Doty-Humphrey's Small Fast Counter), its state taken from the
 * key's SHA-256.
 */
export function randomFor(key: string): Random {
  const digest = createHash('sha256').update(key).digest();
  let [a, b, c, counter] = [digest.readInt32LE(0), digest.readInt32LE(4), digest.readInt32LE(8), 1];

  const next = () => {
    const word = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + word) | 0;
    return (word >>> 0) / 2 ** 32;
  };
  const pick = <T>(items: readonly T[]): T => {
    const item = items[Math.floor(next() * items.length)];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  };

  return {
    between: (low, high) => low + (high - low) * next(),
    whole: (low, high) => low + Math.floor((high - low + 1) * next()),
    chance: share => next() < share,
    pick,
    several: (count, make) => Array.from({length: count}, (_, index) => make(index)),
  };
}
