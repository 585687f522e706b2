/** A store on a real file for one test, and images to fill it with. */
import {createHash} from 'node:crypto';
import Database from 'better-sqlite3';
import {onTestFinished} from 'vitest';
import {runPaths, type RunPaths} from '../../src/home.js';
import {openListing, type ListedImage} from '../../src/pool/listing-files.js';
import {poolSample} from '../../src/pool/pool-index.js';
import {packIds} from '../../src/ranking/image-ids.js';
import {listingFolder, poolIndex, settlePool} from '../../src/stages/pool-files.js';
import type {LocatedImage, Role} from '../../src/store/images.js';
import {openStore, type Store} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';

export async function newStore(): Promise<{store: Store; file: string; paths: RunPaths}> {
  const paths = runPaths(await temporaryFolder(), 'run');
  const store = openStore(paths.database);
  onTestFinished(() => store.close());
  return {store, file: paths.database, paths};
}

/** What SQL finds in a database that a store has open. */
export function query(file: string, sql: string, ...parameters: (string | number)[]): Record<string, unknown>[] {
  const connection = new Database(file, {readonly: true});
  try {
    return connection.prepare<(string | number)[], Record<string, unknown>>(sql).all(...parameters);
  } finally {
    connection.close();
  }
}

export const imageId = (content: string | number): string =>
  createHash('sha256').update(String(content)).digest('hex').slice(0, 24);

/** An image as a folder source lists it: `content` decides its id. */
export const entry = (content: string | number, file: string, label: string | null = null): ListedImage => ({
  file,
  member: null,
  offset: null,
  length: null,
  encoding: 'encoded',
  label,
  id: imageId(content),
});

/** Adds a labelled set with these images; its root is `/ROLE`. */
export function addSource(store: Store, role: Exclude<Role, 'unlabelled'>, images: readonly ListedImage[]): number {
  const source = store.images.addSource(role, {kind: 'folder', path: `/${role}`, split: null}, `/${role}`, role);
  store.atomically(() => images.forEach(listed => store.images.addListed(source, listed)));
  return source;
}

type Run = {readonly store: Store; readonly paths: RunPaths};

let listings = 0;

/** Adds a pool of these images to the sources; its root is `/unlabelled`. */
export async function addPool({store, paths}: Run, images: readonly ListedImage[]): Promise<void> {
  const folder = `pool-${listings++}`;
  const writer = openListing(listingFolder(paths, folder));
  for (const image of images) writer.add(image, packIds([image.id]), 0, 1n);
  const {chunks, digest} = await writer.close();
  const spec = {kind: 'folder', path: '/unlabelled', split: null} as const;
  const key = store.images.addSource('unlabelled', spec, '/unlabelled', folder);
  store.images.setListing(key, {snapshot: '', digest, seen: images.length, classes: null, warnings: [], chunks});
}

/** Settles the pool of what was added and drawn. Returns the images that are left out of it. */
export const settle = async (run: Run): Promise<LocatedImage[]> =>
  await settlePool(
    {...run, signal: new AbortController().signal},
    run.store.images.sources().flatMap(({role, key}) => (role === 'unlabelled' ? [key] : [])),
  );

/** Every image of the pool, by id. */
export const inPool = async (run: Run): Promise<string[]> =>
  (await poolSample(poolIndex(run), Number.MAX_SAFE_INTEGER)).map(({id}) => id);

/** `perClass` images of each class; contents are `CLASS 0`, `CLASS 1`, ... */
export const labelled = (classes: readonly string[], perClass: number): ListedImage[] =>
  classes.flatMap(name =>
    Array.from({length: perClass}, (_, number) => entry(`${name} ${number}`, `${name}/${number}.png`, name)),
  );
