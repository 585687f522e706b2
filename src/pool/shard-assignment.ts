/**
 * Which images are scored together. An image keeps its shard while it is not in the pool: its scores still lie there;
 * what joins the pool is put into further shards, in the order in which it is listed.
 */
import {setImmediate} from 'node:timers/promises';
import {ID_WORDS} from '../ranking/image-ids.js';
import {
  bitsFor,
  compareRecords,
  isFirstOfId,
  numberAt,
  openSpread,
  openTable,
  partOf,
  partsOf,
  RECORD_WORDS,
  rowsOf,
  sortedById,
  writeTable,
  type IdTable,
} from './id-table.js';
import {groupOf, groupsOf, openPlaces, Records, type PoolImage, type PoolIndex} from './pool-index.js';

export interface Assigning {
  readonly pool: PoolIndex;
  /** In which shard images are, by id; null where none is in any. */
  readonly before: IdTable | null;
  /** Where the new table is to lie; it may be where the old one lies. */
  readonly folder: string;
  /** Images of a new shard. */
  readonly size: number;
  /** Whether images that are in a shard stay there; else all are put anew. */
  readonly keeps: boolean;
  /** Whether an image that left the pool is forgotten, so that it is put anew should it come back. */
  readonly forgets: (id: Uint32Array, shard: number) => boolean;
  readonly signal: AbortSignal;
}

export interface Assignment {
  readonly table: IdTable;
  /** By shard: how many of its images are in the pool. */
  readonly images: ReadonlyMap<number, number>;
  /** By shard: ids of images that are in it and not in the pool, three words each, ascending. */
  readonly left: ReadonlyMap<number, Uint32Array>;
  /** Shards that are not of the images that they were of. */
  readonly changed: ReadonlySet<number>;
}

/** Room at first for those that left a shard. */
const FEW_LEFT = 16;

/** Puts every image of the pool into a shard. Memory is that of a part of the table, and of the images that left. */
export async function assignShards(assigning: Assigning): Promise<Assignment> {
  const {pool, before, folder, size, keeps, forgets, signal} = assigning;
  const bits = bitsFor(pool.table.rows);
  const groups = groupsOf(pool.listings);
  const unplaced = openSpread(`${folder}.unplaced.tmp`, groups);
  const placed = openSpread(`${folder}.placed.tmp`, partsOf(bits));
  const images = new Map<number, number>();
  const left = new Map<number, Records>();
  const changed = new Set<number>();
  let next = 0;
  try {
    const [held, shards] = [openTable(pool.table, bits), openTable(before, bits)];
    for (let part = 0; part < partsOf(bits); part++) {
      signal.throwIfAborted();
      joined(await held(part), await shards(part), {
        both(records, row, shard) {
          if (!keeps) unplaced.add(groupOf(numberAt(records, row)), records, row);
          else {
            placed.add(part, withNumber(records, row, shard), 0);
            images.set(shard, (images.get(shard) ?? 0) + 1);
            next = Math.max(next, shard + 1);
          }
        },
        held: (records, row) => unplaced.add(groupOf(numberAt(records, row)), records, row),
        assigned(records, row) {
          const shard = numberAt(records, row);
          if (!keeps || forgets(idAtRow(records, row), shard)) return;
          placed.add(part, records, row);
          next = Math.max(next, shard + 1);
          const others = left.get(shard) ?? new Records(FEW_LEFT);
          left.set(shard, others);
          others.add(records, row);
        },
      });
    }
    let filled = size;
    for (let group = 0; group < groups; group++) {
      await setImmediate(); // Nothing else here waits for anything, and somebody may want to stop it.
      signal.throwIfAborted();
      const records = unplaced.part(group);
      for (const row of rowsInListedOrder(records)) {
        if (filled === size) [filled, next] = [0, next + 1];
        filled++;
        const shard = next - 1;
        images.set(shard, (images.get(shard) ?? 0) + 1);
        placed.add(partOf(records[row * RECORD_WORDS]!, bits), withNumber(records, row, shard), 0);
      }
    }
    const were = openTable(before, bits);
    const table = await writeTable(folder, bits, async part => {
      signal.throwIfAborted();
      const records = sortedById(placed.part(part), bits);
      joined(records, await were(part), {
        both(current, row, shard) {
          if (numberAt(current, row) === shard) return;
          changed.add(shard).add(numberAt(current, row));
        },
        held: (current, row) => changed.add(numberAt(current, row)),
        assigned: (gone, row) => changed.add(numberAt(gone, row)),
      });
      return records;
    });
    return {table, images, left: new Map([...left].map(([shard, records]) => [shard, idsOf(records.all())])), changed};
  } finally {
    unplaced.close();
    placed.close();
  }
}

const idAtRow = (records: Uint32Array, row: number): Uint32Array =>
  records.subarray(row * RECORD_WORDS, row * RECORD_WORDS + ID_WORDS);

/** More than there are in a group of files. */
const ROWS = 2 ** 20;
/** Rows by where their images are listed. */
const rowsInListedOrder = (records: Uint32Array): Float64Array =>
  Float64Array.from({length: rowsOf(records)}, (_, row) => numberAt(records, row) * ROWS + row)
    .sort()
    .map(key => key % ROWS);

const scratch = new Uint32Array(RECORD_WORDS);
/** The record with another number, until the next is asked for. */
function withNumber(records: Uint32Array, row: number, number: number): Uint32Array {
  scratch.set(idAtRow(records, row));
  scratch[ID_WORDS] = number;
  return scratch;
}

function idsOf(records: Uint32Array): Uint32Array {
  const ids = new Uint32Array(rowsOf(records) * ID_WORDS);
  for (let row = 0; row < rowsOf(records); row++) ids.set(idAtRow(records, row), row * ID_WORDS);
  return ids;
}

/** Compares two lots of records, both by id: of those of one id in the first lot, its first alone. */
function joined(
  first: Uint32Array,
  second: Uint32Array,
  on: {
    /** `number` is that of the second. */
    readonly both: (records: Uint32Array, row: number, number: number) => void;
    readonly held: (records: Uint32Array, row: number) => void;
    readonly assigned: (records: Uint32Array, row: number) => void;
  },
): void {
  let other = 0;
  for (let row = 0; row < rowsOf(first); row++) {
    if (!isFirstOfId(first, row)) continue;
    for (; other < rowsOf(second) && compareRecords(second, other, first, row) < 0; other++) on.assigned(second, other);
    if (other < rowsOf(second) && compareRecords(second, other, first, row) === 0)
      on.both(first, row, numberAt(second, other++));
    else on.held(first, row);
  }
  for (; other < rowsOf(second); other++) on.assigned(second, other);
}

/** Shards whose images are put in order together. */
const SHARDS_TOGETHER = 16;
/** A record, and the shard. */
const LISTED_WORDS = RECORD_WORDS + 1;

export interface ShardLists {
  /** The images of a shard that are in the pool, as they are listed. */
  of(shard: number): Promise<PoolImage[]>;
  close(): void;
}

/** Gathers the images of some shards. Uses `folder` until it is closed. */
export async function openShardLists(
  pool: PoolIndex,
  table: IdTable,
  {shards, folder, signal}: {readonly shards: readonly number[]; readonly folder: string; readonly signal: AbortSignal},
): Promise<ShardLists> {
  const groups = new Map(shards.map((shard, position) => [shard, Math.floor(position / SHARDS_TOGETHER)]));
  const spread = openSpread(folder, Math.ceil(shards.length / SHARDS_TOGETHER) || 1, LISTED_WORDS);
  try {
    const [held, assigned] = [openTable(pool.table, table.bits), openTable(table, table.bits)];
    const listed = new Uint32Array(LISTED_WORDS);
    for (let part = 0; part < partsOf(table.bits); part++) {
      signal.throwIfAborted();
      joined(await held(part), await assigned(part), {
        both(records, row, shard) {
          const group = groups.get(shard);
          if (group === undefined) return;
          listed.set(records.subarray(row * RECORD_WORDS, (row + 1) * RECORD_WORDS));
          listed[RECORD_WORDS] = shard;
          spread.add(group, listed, 0);
        },
        held: () => {},
        assigned: () => {},
      });
    }
  } catch (error) {
    spread.close();
    throw error;
  }
  const placeAt = openPlaces(pool.listings);
  let last: {group: number; records: Uint32Array} | null = null;
  return {
    async of(shard) {
      const group = groups.get(shard);
      if (group === undefined) throw new Error(`Shard ${shard} was not among those that were gathered.`);
      if (last?.group !== group) last = {group, records: spread.part(group)};
      const {records} = last;
      const locations: number[] = [];
      for (let at = 0; at < records.length; at += LISTED_WORDS)
        if (records[at + RECORD_WORDS] === shard) locations.push(records[at + ID_WORDS]!);
      const images: PoolImage[] = [];
      for (const location of locations.sort((a, b) => a - b)) images.push(await placeAt(location));
      return images;
    },
    close() {
      spread.close();
    },
  };
}
