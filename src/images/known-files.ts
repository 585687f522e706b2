/** Images whose files were read before, by the stamps of these: while a stamp stays, its bytes need not be read again. */
import {ID_WORDS} from '../ranking/image-ids.js';

/** A hash table in memory that threads share, of some 30 bytes an image. */
export interface KnownFiles {
  /** Rows from 1 on, by the low bits of their stamps; 0 for none. */
  readonly slots: Uint32Array;
  readonly stamps: BigUint64Array;
  /** Three words each. */
  readonly ids: Uint32Array;
}

const MIX = 0x9e3779b97f4a7c15n;

/** The stamp of an image that lies at `offset` of a file. */
export const stampAt = (stamp: bigint, offset: number): bigint => BigInt.asUintN(64, (stamp ^ BigInt(offset)) * MIX);

/** Room for so many images, of which memory is only taken as they come. */
export function roomForKnown(images: number): {
  readonly known: KnownFiles;
  readonly add: (stamp: bigint, ids: Uint32Array, row: number) => void;
} {
  const slots = new Uint32Array(new SharedArrayBuffer(4 * 2 ** Math.ceil(Math.log2(Math.max(2, images * 2)))));
  const stamps = new BigUint64Array(new SharedArrayBuffer(8 * Math.max(1, images)));
  const ids = new Uint32Array(new SharedArrayBuffer(4 * ID_WORDS * Math.max(1, images)));
  let rows = 0;
  return {
    known: {slots, stamps, ids},
    add(stamp, from, row) {
      let slot = firstSlot(slots, stamp);
      for (; slots[slot] !== 0; slot = (slot + 1) % slots.length) if (stamps[slots[slot]! - 1] === stamp) return;
      stamps[rows] = stamp;
      for (let word = 0; word < ID_WORDS; word++) ids[rows * ID_WORDS + word] = from[row * ID_WORDS + word]!;
      slots[slot] = ++rows;
    },
  };
}

const firstSlot = (slots: Uint32Array, stamp: bigint): number => Number(stamp & BigInt(slots.length - 1));

/** Puts the id of the image with this stamp at a row; false where none is known. */
export function putKnownId(
  {slots, stamps, ids: known}: KnownFiles,
  stamp: bigint,
  ids: Uint32Array,
  row: number,
): boolean {
  for (let slot = firstSlot(slots, stamp); slots[slot] !== 0; slot = (slot + 1) % slots.length) {
    const found = slots[slot]! - 1;
    if (stamps[found] !== stamp) continue;
    for (let word = 0; word < ID_WORDS; word++) ids[row * ID_WORDS + word] = known[found * ID_WORDS + word]!;
    return true;
  }
  return false;
}
