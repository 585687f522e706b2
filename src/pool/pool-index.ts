/**
 * Which images the pool holds, and where each lies: an image by its id, wherever and however often its bytes are listed,
 * less those that may not be learnt from. Each of its places is a record of the table, the one first that it is read from.
 */
import {createHash} from 'node:crypto';
import {ID_WORDS} from '../ranking/image-ids.js';
import {
  bitsFor,
  compareRecords,
  isFirstOfId,
  numberAt,
  numbersOf,
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
import {archivesOf, CHUNK_ROWS, readChunk, type ListedImage, type ListingChunk} from './listing-files.js';

/** A listing whose images are the pool's. */
export interface PoolListing {
  /** The key of its source. */
  readonly source: number;
  readonly folder: string;
  /** Rows of each of its files. */
  readonly chunks: readonly number[];
}

/**
 * The number of an id in the table tells where it lies: the file of a listing, counted over all listings, and the row
 * there. Of several places the first is where it is read from.
 */
export interface PoolIndex {
  readonly table: IdTable;
  readonly listings: readonly PoolListing[];
  /** Distinct images. */
  readonly images: number;
}

/** An image of the pool, and the key of the source that lists it. */
export interface PoolImage extends ListedImage {
  readonly source: number;
}

/** So that a location has 32 bits: some four thousand million images. */
const MOST_CHUNKS = 2 ** 32 / CHUNK_ROWS;
const locationOf = (chunk: number, row: number): number => chunk * CHUNK_ROWS + row;

/** The file and its listing that a location is in. */
function chunkAt(listings: readonly PoolListing[], location: number): {listing: PoolListing; chunk: number} {
  let chunk = Math.floor(location / CHUNK_ROWS);
  for (const listing of listings) {
    if (chunk < listing.chunks.length) return {listing, chunk};
    chunk -= listing.chunks.length;
  }
  throw new Error(`No listing of the pool reaches as far as ${location}.`);
}

export interface PoolBuild {
  /** Where the table is to lie. */
  readonly folder: string;
  readonly listings: readonly PoolListing[];
  /** Images of other sets as records in the order of their ids: number 1 for what the pool must not hold, else 0. */
  readonly labelled: Uint32Array;
  /** In which shard images are or were scored. */
  readonly assigned: IdTable | null;
  readonly signal: AbortSignal;
}

export interface BuiltPool extends PoolIndex {
  /** Of which images it holds, whatever their order. */
  readonly digest: string;
  /** Images that are in no shard yet, that are in one, and that are in one and not in the pool. */
  readonly change: {readonly added: number; readonly stayed: number; readonly left: number};
  /** Records of labelled images that are in it, and of such that lie in it and must not. */
  readonly alsoLabelled: Uint32Array;
  readonly refused: Uint32Array;
}

/**
 * Settles what the pool holds. Memory is that of a part of the table, of the places of the image that has most, and of the
 * labelled sets.
 */
export async function buildPool({folder, listings, labelled, assigned, signal}: PoolBuild): Promise<BuiltPool> {
  const rows = listings.reduce((sum, {chunks}) => sum + chunks.reduce((all, each) => all + each, 0), 0);
  if (listings.reduce((sum, {chunks}) => sum + chunks.length, 0) > MOST_CHUNKS)
    throw new Error(`The pool is listed in more than ${MOST_CHUNKS} files; a place there has no number of 32 bits.`);
  const bits = bitsFor(rows);
  const spread = openSpread(`${folder}.spread.tmp`, partsOf(bits));
  try {
    let number = 0;
    for (const listing of listings)
      for (let chunk = 0; chunk < listing.chunks.length; chunk++, number++) {
        signal.throwIfAborted();
        const {ids} = await readChunk(listing.folder, chunk);
        const record = new Uint32Array(RECORD_WORDS);
        for (let row = 0; row < ids.length / ID_WORDS; row++) {
          for (let word = 0; word < ID_WORDS; word++) record[word] = ids[row * ID_WORDS + word]!;
          record[ID_WORDS] = locationOf(number, row);
          spread.add(partOf(record[0]!, bits), record, 0);
        }
      }
    const before = openTable(assigned, bits);
    const others = partsIn(labelled, bits);
    const digest = new IdDigest();
    const [alsoLabelled, refused] = [new Records(), new Records()];
    const change = {added: 0, stayed: 0, left: 0};
    const table = await writeTable(folder, bits, async part => {
      signal.throwIfAborted();
      const listed = sortedById(spread.part(part), bits);
      const [shards, ours] = [await before(part), others(part)];
      const held = new Records();
      let [shard, our] = [0, 0];
      for (let row = 0; row < rowsOf(listed); row++) {
        while (our < rowsOf(ours) && compareRecords(ours, our, listed, row) < 0) our++;
        const isOurs = our < rowsOf(ours) && compareRecords(ours, our, listed, row) === 0;
        const isRefused = isOurs && numberAt(ours, our) === 1;
        const isFirst = isFirstOfId(listed, row);
        if (isRefused) {
          if (isFirst) refused.add(listed, row);
          continue;
        }
        held.add(listed, row);
        if (!isFirst) continue;
        digest.add(listed, row);
        if (isOurs) alsoLabelled.add(listed, row);
        for (; shard < rowsOf(shards) && compareRecords(shards, shard, listed, row) < 0; shard++) change.left++;
        if (shard < rowsOf(shards) && compareRecords(shards, shard, listed, row) === 0) {
          change.stayed++;
          shard++;
        } else change.added++;
      }
      change.left += rowsOf(shards) - shard;
      return held.all();
    });
    return {
      table,
      listings,
      images: digest.images,
      digest: digest.hex(),
      change,
      alsoLabelled: alsoLabelled.all(),
      refused: refused.all(),
    };
  } finally {
    spread.close();
  }
}

/** Records that come one by one; room for them doubles as it runs out. */
export class Records {
  #records: Uint32Array;
  #words = 0;

  constructor(room = 1024) {
    this.#records = new Uint32Array(RECORD_WORDS * room);
  }

  add(from: Uint32Array, row: number): void {
    if (this.#words === this.#records.length) {
      const larger = new Uint32Array(this.#records.length * 2);
      larger.set(this.#records);
      this.#records = larger;
    }
    for (let word = 0; word < RECORD_WORDS; word++)
      this.#records[this.#words + word] = from[row * RECORD_WORDS + word]!;
    this.#words += RECORD_WORDS;
  }

  /** A copy. */
  all(): Uint32Array {
    return this.#records.slice(0, this.#words);
  }
}

/** Records in memory, in parts as those of a table are. Parts are asked for in order. */
function partsIn(records: Uint32Array, bits: number): (part: number) => Uint32Array {
  let from = 0;
  return part => {
    const begun = from;
    while (from < rowsOf(records) && partOf(records[from * RECORD_WORDS]!, bits) === part) from++;
    return records.subarray(begun * RECORD_WORDS, from * RECORD_WORDS);
  };
}

/**
 * Which ids there are, whatever their order: how many, and the sum of their hex digits, taken as the bytes of one
 * number, place by place.
 */
class IdDigest {
  images = 0;
  readonly #sums = new Float64Array(ID_WORDS * 8);

  add(records: Uint32Array, row: number): void {
    this.images++;
    for (let word = 0; word < ID_WORDS; word++) {
      let rest = records[row * RECORD_WORDS + word]!;
      for (let digit = word * 8 + 7; digit >= word * 8; digit--) {
        const value = rest & 15;
        this.#sums[digit]! += value < 10 ? 48 + value : 87 + value;
        rest >>>= 4;
      }
    }
  }

  hex(): string {
    const sum = this.#sums.reduce((all, digits) => all * 256n + BigInt(digits), 0n);
    return createHash('sha256').update(`${this.images} ${sum}`).digest('hex');
  }
}

/** Reads files of listings, and keeps the last few: neighbours tend to be asked for together. */
export function openPlaces(listings: readonly PoolListing[]): (location: number) => Promise<PoolImage> {
  const kept = new Map<number, {listing: PoolListing; read: ListingChunk}>();
  const KEPT = 4;
  return async location => {
    const number = Math.floor(location / CHUNK_ROWS);
    let found = kept.get(number);
    if (found === undefined) {
      const {listing, chunk} = chunkAt(listings, location);
      found = {listing, read: await readChunk(listing.folder, chunk)};
      const [oldest] = kept.keys();
      if (kept.size === KEPT && oldest !== undefined) kept.delete(oldest);
      kept.set(number, found);
    }
    return {...found.read.imageAt(location % CHUNK_ROWS), source: found.listing.source};
  };
}

/** Every place of an image, three words, the one first that it is read from. */
export async function placedImages({table, listings}: PoolIndex, id: Uint32Array): Promise<PoolImage[]> {
  const placeAt = openPlaces(listings);
  const found: PoolImage[] = [];
  for (const location of await numbersOf(table, id)) found.push(await placeAt(location));
  return found;
}

/** The image that a listing has at a place below its root (file, or file#member); null where it has none. */
export async function imageAt(listing: PoolListing, place: string): Promise<PoolImage | null> {
  const archives = await archivesOf(listing.folder);
  // A file that is an image of its own is known by its bytes; of one that is gone there is no other trace.
  if (archives === null) return await imageIn(listing, place, {file: place, from: 0});
  for (const [file, from] of archives) {
    const found = place.startsWith(`${file}#`) ? await imageIn(listing, place, {file, from}) : null;
    if (found !== null) return found;
  }
  return null;
}

/** Looks where a listing names a file: from its first part on, an archive in neighbouring ones. */
async function imageIn(
  {folder, chunks, source}: PoolListing,
  place: string,
  {file, from}: {readonly file: string; readonly from: number},
): Promise<PoolImage | null> {
  for (let chunk = from; chunk < chunks.length; chunk++) {
    const read = await readChunk(folder, chunk);
    const number = read.files.indexOf(file);
    if (number === -1 && read.offsets !== null) return null;
    for (let row = read.file.indexOf(number); row !== -1; row = read.file.indexOf(number, row + 1)) {
      const image = read.imageAt(row);
      if (place === (image.member === null ? image.file : `${image.file}#${image.member}`)) return {...image, source};
    }
  }
  return null;
}

/** Files of listings whose images are put in order together. */
const CHUNKS_TOGETHER = 4;
/** How many such groups there are, and the one of a location. */
export const groupsOf = (listings: readonly PoolListing[]): number =>
  Math.max(1, Math.ceil(listings.reduce((sum, {chunks}) => sum + chunks.length, 0) / CHUNKS_TOGETHER));
export const groupOf = (location: number): number => Math.floor(location / CHUNK_ROWS / CHUNKS_TOGETHER);

/** Every image of the pool where it is read from, in the order in which they are listed. Uses `folder` meanwhile. */
export async function* allPlaces({table, listings}: PoolIndex, folder: string): AsyncGenerator<PoolImage> {
  const read = openTable(table, table.bits);
  yield* inListedOrder(listings, folder, async add => {
    for (let part = 0; part < partsOf(table.bits); part++) {
      const records = await read(part);
      for (let row = 0; row < rowsOf(records); row++) if (isFirstOfId(records, row)) add(records, row);
    }
  });
}

/**
 * Where images of the pool lie, in the order in which they are listed; those that are not in it are left out. `ids` are
 * three words each, ascending over all lots. Uses `folder` meanwhile.
 */
export async function* placesOf(
  {table, listings}: PoolIndex,
  ids: AsyncIterable<Uint32Array> | Iterable<Uint32Array>,
  folder: string,
): AsyncGenerator<PoolImage> {
  const read = openTable(table, table.bits);
  yield* inListedOrder(listings, folder, async add => {
    let part = -1;
    let row = 0;
    let records: Uint32Array = new Uint32Array();
    const asked = new Uint32Array(RECORD_WORDS);
    for await (const lot of ids)
      for (let at = 0; at < lot.length; at += ID_WORDS) {
        asked.set(lot.subarray(at, at + ID_WORDS));
        const own = partOf(asked[0]!, table.bits);
        if (own !== part) {
          records = await read(own);
          part = own;
          row = 0;
        }
        while (row < rowsOf(records) && compareRecords(records, row, asked, 0) < 0) row++;
        if (row === rowsOf(records) || compareRecords(records, row, asked, 0) !== 0) continue;
        add(records, row);
      }
  });
}

/** The images at the locations that records tell, in the order of these. */
async function* inListedOrder(
  listings: readonly PoolListing[],
  folder: string,
  gather: (add: (records: Uint32Array, row: number) => void) => Promise<void>,
): AsyncGenerator<PoolImage> {
  const groups = groupsOf(listings);
  const spread = openSpread(folder, groups);
  try {
    await gather((records, row) => spread.add(groupOf(numberAt(records, row)), records, row));
    const placeAt = openPlaces(listings);
    for (let group = 0; group < groups; group++) {
      const found = spread.part(group);
      const locations = Float64Array.from({length: rowsOf(found)}, (_, at) => numberAt(found, at)).sort();
      for (const location of locations) yield await placeAt(location);
    }
  } finally {
    spread.close();
  }
}

/** So many images of the pool, or all, drawn by chance (ids are hashes): a function of the pool. By id. */
export async function poolSample(index: PoolIndex, images: number): Promise<PoolImage[]> {
  const read = openTable(index.table, index.table.bits);
  const locations: number[] = [];
  for (let part = 0; part < partsOf(index.table.bits) && locations.length < images; part++) {
    const records = await read(part);
    for (let row = 0; row < rowsOf(records) && locations.length < images; row++)
      if (isFirstOfId(records, row)) locations.push(numberAt(records, row));
  }
  const placeAt = openPlaces(index.listings);
  const found: PoolImage[] = [];
  for (const location of locations.sort((a, b) => a - b)) found.push(await placeAt(location));
  return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}
