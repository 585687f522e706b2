/** What the pool's files tell: how much it holds, every image of it, and of one where it lies and where it was scored. */
import {readFile, rm, stat} from 'node:fs/promises';
import path from 'node:path';
import {systemCode, UserError} from '../errors.js';
import {temporaryFolder} from '../files/temporary.js';
import {imageIdOf} from '../images/image-id.js';
import {fromPrintable} from '../images/printable-path.js';
import {idsWithPrefix, numbersOf} from '../pool/id-table.js';
import {allPlaces, imageAt, placedImages, type PoolIndex} from '../pool/pool-index.js';
import {packIds, unpackIds} from '../ranking/image-ids.js';
import {assignedTable, locatedIn, poolIndex} from '../stages/pool-files.js';
import {REST, specWords} from '../stages/sources.js';
import type {LocatedImage} from '../store/images.js';
import type {Shard} from '../store/shards.js';
import {requireFiles, requireIntact, type OpenRun} from './open-run.js';

type Where = Pick<OpenRun, 'store' | 'paths'>;

const indexOf = (run: Where): PoolIndex | null => (run.store.pool.facts() === null ? null : poolIndex(run));

export interface PoolSummary {
  /** Distinct images. */
  readonly images: number;
  /** Places of them beyond the first of each. */
  readonly duplicates: number;
  readonly sources: readonly {readonly source: string; readonly root: string; readonly listed: number}[];
}

/** Throws (exit 3) before prepare has settled it, 4 where its record was altered. */
export async function poolSummary(run: OpenRun): Promise<PoolSummary> {
  requireIntact(run, 'prepare');
  await requireFiles(run, 'prepare', 'index');
  const facts = run.store.stages.read('prepare')?.status === 'done' ? run.store.pool.facts() : null;
  if (facts === null)
    throw new UserError(
      'NO_RESULT_YET',
      `Run ${run.paths.run} has no pool yet: its prepare stage has not finished. Run pupil orchestrate.`,
    );
  const sources = new Map(run.store.images.sources().map(source => [source.key, source]));
  return {
    images: facts.images,
    duplicates: facts.table.rows - facts.images,
    sources: facts.listings.map(({source: key, chunks}) => {
      const source = sources.get(key);
      return {
        source: source === undefined ? '' : source.role === 'unlabelled' ? specWords(source.spec) : REST,
        root: source?.root ?? '',
        listed: chunks.reduce((sum, rows) => sum + rows, 0),
      };
    }),
  };
}

/** Every image of the pool, in the order in which they are listed. */
export async function* poolImages(run: Where): AsyncGenerator<LocatedImage> {
  const [folder, located] = [temporaryFolder('pool'), locatedIn(run)];
  try {
    for await (const image of allPlaces(poolIndex(run), path.join(folder, 'spread'))) yield located(image);
  } finally {
    await rm(folder, {recursive: true, force: true});
  }
}

/** Every place of the pool that an image lies in, the one first that it is read from; none where it is not in it. */
export async function poolImagesOf(run: Where, id: string): Promise<LocatedImage[]> {
  const index = indexOf(run);
  return index === null ? [] : (await placedImages(index, packIds([id]))).map(locatedIn(run));
}

/** The shard that an image is or was scored in; null where it is in none. */
export async function shardOf(run: Where, id: string): Promise<Shard | null> {
  const table = assignedTable(run);
  const [number] = table === null ? [] : await numbersOf(table, packIds([id]));
  return number === undefined ? null : run.store.shards.numbered(number);
}

/** Up to two ids of the pool that begin so: two mean that the prefix is ambiguous. */
export async function poolIdsWith(run: Where, prefix: string): Promise<string[]> {
  const index = indexOf(run);
  return index === null ? [] : unpackIds(await idsWithPrefix(index.table, prefix, 2));
}

/**
 * The image of the pool at one of these places. A file is known by its bytes, wherever it lies; what lies in an archive
 * by the listing of that alone. Null where there is none.
 */
export async function idInPool(run: OpenRun, places: readonly string[]): Promise<string | null> {
  const index = indexOf(run);
  if (index === null) return null;
  for (const place of places) {
    const id = await idOfFile(place, run.config.limits.max_file_mb * 1_000_000);
    if (id !== null && (await numbersOf(index.table, packIds([id]))).length > 0) return id;
  }
  const roots = new Map(run.store.images.sources().map(({key, root}) => [key, root]));
  for (const place of places)
    for (const listing of index.listings) {
      const root = roots.get(listing.source);
      if (root === undefined || !place.startsWith(`${root}/`)) continue;
      const found = await imageAt(listing, place.slice(root.length + 1));
      if (found !== null) return found.id;
    }
  return null;
}

/** Null for what is no file, cannot be read, or is larger than any picture of the run. */
async function idOfFile(place: string, most: number): Promise<string | null> {
  const file = fromPrintable(place);
  try {
    const found = await stat(file);
    return found.isFile() && found.size <= most ? imageIdOf(await readFile(file)) : null;
  } catch (error) {
    if (systemCode(error) === null) throw error;
    return null;
  }
}
