/** The pool of a run as its files have it: settled by prepare out of the listings, put into shards by score. */
import {existsSync} from 'node:fs';
import {readdir, rm} from 'node:fs/promises';
import path from 'node:path';
import type {RunPaths} from '../home.js';
import {NO_STAMP} from '../images/file-stamps.js';
import {readScores} from '../images/score-file.js';
import {removeKnown} from '../pipeline/file-hash.js';
import {
  bitsFor,
  compareTables,
  isWhole,
  openSpread,
  partOf,
  partsOf,
  RECORD_WORDS,
  sortedById,
  tableFiles,
  writeTable,
  type IdTable,
} from '../pool/id-table.js';
import {listingFiles, openListing} from '../pool/listing-files.js';
import {buildPool, openPlaces, placesOf, poolSample, type PoolImage, type PoolIndex} from '../pool/pool-index.js';
import {ID_WORDS, idAt, packIds} from '../ranking/image-ids.js';
import type {LocatedImage, SourceRecord} from '../store/images.js';
import type {PoolFacts} from '../store/pool.js';
import type {StageContext} from './context.js';
import {placeOf} from './sources.js';

type Where = Pick<StageContext, 'store' | 'paths'>;
type Work = Pick<StageContext, 'store' | 'paths' | 'signal'>;

/** The name of the listing of what the labelled draw left over. */
const REST_LISTING = 'rest';

export const listingFolder = ({listings}: RunPaths, name: string): string => path.join(listings, name);

const tableAt = ({pool}: RunPaths, table: PoolFacts['table']): IdTable => ({
  ...table,
  folder: path.join(pool, table.folder),
});

/** Throws where prepare has not settled it. */
export function poolIndex({store, paths}: Where): PoolIndex {
  const facts = store.pool.facts();
  if (facts === null) throw new Error('A stage reads the pool before it was settled.');
  return indexOf(paths, facts);
}

const indexOf = (paths: RunPaths, {images, table, listings}: PoolFacts): PoolIndex => ({
  images,
  table: tableAt(paths, table),
  listings: listings.map(({source, folder, chunks}) => ({source, chunks, folder: listingFolder(paths, folder)})),
});

/** The table that tells the shard of an image; null where there is none. */
export function assignedTable({store, paths}: Where): IdTable | null {
  const facts = store.pool.assigned();
  return facts === null ? null : tableAt(paths, facts);
}

/** The same; null, too, where its files are not those that were written. */
export async function wholeAssignedTable(context: Where): Promise<IdTable | null> {
  const table = assignedTable(context);
  return table !== null && (await isWhole(table)) ? table : null;
}

/** Every file that the pool is in; those of shards are not among them. */
export function poolFiles(context: Where): string[] {
  const {table, listings} = poolIndex(context);
  return [...listings.flatMap(({folder, chunks}) => listingFiles(folder, chunks.length)), ...tableFiles(table)];
}

/** Where images of the pool lie, for whoever is to open them. */
export function locatedIn({store}: Pick<Where, 'store'>): (image: PoolImage) => LocatedImage {
  const roots = new Map(store.images.sources().map(({key, root}) => [key, root]));
  return image => {
    const {id, source, file, offset, length, encoding} = image;
    const root = roots.get(source) ?? '';
    return {id, label: null, place: `${root}/${placeOf(image)}`, file: `${root}/${file}`, offset, length, encoding};
  };
}

export async function sampleOfPool(context: Where, images: number): Promise<LocatedImage[]> {
  return (await poolSample(poolIndex(context), images)).map(locatedIn(context));
}

/** The folder that a new table of a kind is written into: never one that the database speaks of. */
function newFolder({pool}: RunPaths, kind: string, before: string | undefined): {name: string; folder: string} {
  const name = `${kind}-${Number(before?.split('-')[1] ?? 0) + 1}`;
  return {name, folder: path.join(pool, name)};
}

/** Removes folders that nothing speaks of any more. */
async function removeUnnamed({store}: Where, folder: string, kept: readonly string[]): Promise<void> {
  for (const name of existsSync(folder) ? await readdir(folder) : [])
    if (!kept.includes(name)) await removeKnown(path.join(folder, name), store.hashes);
}

/**
 * Settles what the pool holds: what its sources list, in the order of these keys, and before it what the labelled draw
 * left over, less what is in a held-out set. Returns the images that were left out for that.
 */
export async function settlePool(context: Work, pools: readonly number[]): Promise<LocatedImage[]> {
  const {store, paths, signal} = context;
  const before = store.pool.facts();
  const sources = store.images.sources();
  const ofPool = pools.flatMap(key => sources.filter(source => source.key === key));
  const listings = [...(await listRest(context)), ...ofPool.flatMap(listingOf)];
  const {name, folder} = newFolder(paths, 'ids', before?.table.folder);
  const built = await buildPool({
    folder,
    listings: listings.map(listing => ({...listing, folder: listingFolder(paths, listing.folder)})),
    labelled: store.images.records(),
    assigned: await wholeAssignedTable(context),
    signal,
  });
  const {images, digest, change, table, alsoLabelled, refused} = built;
  store.atomically(() => {
    store.images.setPool(idsOf(alsoLabelled));
    store.pool.settle({images, digest, listings, table: {...table, folder: name}}, change);
  });
  await removeUnusedIndex(context);
  await locateRanked(context);
  return await locatedAt(context, built, refused);
}

const listingOf = ({key, folder, listing}: SourceRecord): PoolFacts['listings'][number][] =>
  folder !== null && listing !== null ? [{source: key, folder, chunks: listing.chunks ?? []}] : [];

/** Lists what the labelled draw left over, as a source of its own. */
async function listRest({store, paths}: Where): Promise<PoolFacts['listings'][number][]> {
  const folder = listingFolder(paths, REST_LISTING);
  await rm(folder, {recursive: true, force: true});
  const writer = openListing(folder);
  let source: number | null = null;
  for (const {source: of, ...image} of store.images.rest()) {
    source = of;
    writer.add(image, packIds([image.id]), 0, NO_STAMP);
    if (writer.isFull()) await writer.flush();
  }
  const {chunks} = await writer.close();
  return source === null ? [] : [{source, folder: REST_LISTING, chunks}];
}

function idsOf(records: Uint32Array): string[] {
  const ids: string[] = [];
  for (let at = 0; at < records.length; at += RECORD_WORDS) ids.push(idAt(records.subarray(at, at + ID_WORDS), 0));
  return ids;
}

async function locatedAt(context: Where, index: PoolIndex, records: Uint32Array): Promise<LocatedImage[]> {
  const [placeAt, located] = [openPlaces(index.listings), locatedIn(context)];
  const found: LocatedImage[] = [];
  for (let at = ID_WORDS; at < records.length; at += RECORD_WORDS) found.push(located(await placeAt(records[at]!)));
  return found;
}

/** Rows that are written in one transaction. */
const ROWS_AT_ONCE = 1000;

/** Records where the images lie that stand in the rankings. */
export async function locateRanked(context: Work): Promise<void> {
  const {store, paths, signal} = context;
  store.atomically(() => store.chosen.clear());
  let waiting: PoolImage[] = [];
  const write = () => {
    store.atomically(() => waiting.forEach(image => store.chosen.add(image)));
    waiting = [];
  };
  const found = placesOf(poolIndex(context), store.chosen.rankedIds(), path.join(paths.pool, 'ranked.tmp'));
  for await (const image of found) {
    signal.throwIfAborted();
    waiting.push(image);
    if (waiting.length === ROWS_AT_ONCE) write();
  }
  write();
  // Where they lie may change while what was chosen stays.
  store.atomically(() => store.stages.revouch('select', 'chosen', store.chosen.digest()));
}

/**
 * The table that tells the shard of an image, made of what was scored: for a home of a pupil that had none, or where it
 * was damaged. `files` are the score files that stand, by shard.
 */
export async function tableOfScores(
  {store, paths, signal}: Work,
  files: ReadonlyMap<number, string>,
  images: number,
): Promise<IdTable> {
  const bits = bitsFor(images);
  const spread = openSpread(path.join(paths.pool, 'scores-by-id.tmp'), partsOf(bits));
  try {
    const record = new Uint32Array(RECORD_WORDS);
    const add = (ids: Uint32Array, shard: number) => {
      for (let at = 0; at < ids.length; at += ID_WORDS) {
        record.set(ids.subarray(at, at + ID_WORDS));
        record[ID_WORDS] = shard;
        spread.add(partOf(record[0]!, bits), record, 0);
      }
    };
    for (const [shard, file] of files) {
      signal.throwIfAborted();
      add((await readScores(file, 1)).ids, shard);
      add(packIds(store.quarantine.idsOfPart('score', String(shard))), shard);
    }
    return await writeTable(path.join(paths.pool, 'scored'), bits, part =>
      Promise.resolve(sortedById(spread.part(part), bits)),
    );
  } finally {
    spread.close();
  }
}

/** Where score puts its next table; see `removeUnusedIndex`. */
export const nextTable = ({store, paths}: Where): {name: string; folder: string} =>
  newFolder(paths, 'shards', store.pool.assigned()?.folder);

/** Removes what nothing speaks of any more: listings and tables of before, and those that another run had. */
export async function removeUnusedIndex(context: Where): Promise<void> {
  const {store, paths} = context;
  const facts = store.pool.facts();
  await removeUnnamed(context, paths.listings, [
    ...(facts?.listings ?? []).map(({folder}) => folder),
    ...store.images.sources().flatMap(({folder}) => folder ?? []),
  ]);
  await removeUnnamed(context, paths.pool, [facts?.table.folder ?? '', store.pool.assigned()?.folder ?? '']);
}

/** Counts anew how the pool differs from what was put into shards, where one of the two came from another run. */
export async function settleChange(context: Where): Promise<void> {
  const {store} = context;
  const assigned = assignedTable(context);
  if (store.pool.facts() === null) return;
  const {images, table} = poolIndex(context);
  const {added, stayed, left} =
    assigned === null ? {added: images, stayed: 0, left: 0} : await compareTables(table, assigned);
  store.atomically(() => store.pool.setChange({added, stayed, left}));
}
