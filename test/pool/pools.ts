/** Pools listed into files, out of numbers that stand for pictures. */
import path from 'node:path';
import {openListing} from '../../src/pool/listing-files.js';
import {buildPool, type BuiltPool} from '../../src/pool/pool-index.js';
import type {IdTable} from '../../src/pool/id-table.js';
import {packIds} from '../../src/ranking/image-ids.js';
import {entry, imageId} from '../store/new-store.js';

export const never = new AbortController().signal;
let made = 0;

/** Lists pictures as `NUMBER.png`, in this order, and settles the pool of them. */
export async function poolOf(
  folder: string,
  contents: readonly number[],
  {labelled = new Uint32Array(), assigned = null}: {labelled?: Uint32Array; assigned?: IdTable | null} = {},
): Promise<BuiltPool> {
  const listing = path.join(folder, `listing ${made}`);
  const writer = openListing(listing);
  for (const content of contents) {
    writer.add(entry(content, `${content}.png`), packIds([imageId(content)]), 0, 1n);
    if (writer.isFull()) await writer.flush();
  }
  const {chunks} = await writer.close();
  return await buildPool({
    folder: path.join(folder, `ids ${made++}`),
    listings: [{source: 1, folder: listing, chunks}],
    labelled,
    assigned,
    signal: never,
  });
}
