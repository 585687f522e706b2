/** Pools of real pictures on disk, indexed by the worker itself. */
import {dirname} from 'node:path';
import type {ImageReference} from '../../src/children/protocol.js';
import {listedImages, type ListedImage} from '../../src/pool/listing-files.js';
import {cifarRecord, jpeg, png, put} from '../images/pictures.js';
import {tarOf} from '../images/tar-file.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {resultOf} from './worker-process.js';

/** A folder, a tar and a CIFAR file with `count` different pictures each. */
export async function mixedPool(root: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++)
    await put(
      `${root}/folder/${i}.${i % 2 === 0 ? 'png' : 'jpg'}`,
      i % 2 === 0 ? await png(i, 40, 36) : await jpeg(i, 60, 33),
    );
  await put(
    `${root}/shards/0.tar`,
    tarOf(
      ...(await Promise.all(
        Array.from({length: count}, async (_, i) => ({name: `${i}.png`, content: await png(1000 + i)})),
      )),
    ),
  );
  await put(
    `${root}/cifar/train.bin`,
    Buffer.concat(Array.from({length: count}, (_, i) => cifarRecord([0, i % 100], 2000 + i))),
  );
}

export const mixedSources = (root: string) => [
  {kind: 'folder', path: `${root}/folder`, split: null, labelled: false},
  {kind: 'webdataset', path: `${root}/shards/0.tar`, split: null, labelled: false},
  {kind: 'cifar100', path: `${root}/cifar`, split: 'train', labelled: false},
];

/** Every image of a mixed pool as a score or pack descriptor names it, in the order of its index. */
export async function indexed(root: string, sources = mixedSources(root)): Promise<ImageReference[]> {
  const {listed} = await listedBy({sources, cache: `${root}/cache`});
  return listed.flatMap((images, position) => images.map(image => referenceOf(rootOf(sources[position]!.path), image)));
}

const rootOf = (source: string): string => (source.endsWith('.tar') ? dirname(source) : source);

/** Runs the `index` task in a worker, and reads what it listed of each source. */
export async function listedBy({
  sources,
  ...task
}: {
  readonly sources: readonly object[];
  readonly cache?: string;
  readonly maxFileBytes?: number;
}): Promise<{
  readonly ended: Awaited<ReturnType<typeof resultOf<'index'>>>;
  readonly listed: readonly (readonly ListedImage[])[];
  readonly folders: readonly string[];
}> {
  const folder = await temporaryFolder();
  const listings = sources.map((_, position) => `${folder}/listing ${position}`);
  const ended = await resultOf('index', {
    sources: sources.map((source, position) => ({known: [], ...source, listing: listings[position]})),
    ownFolders: [],
    cache: `${folder}/cache`,
    maxFileBytes: 1_000_000,
    readThreads: 2,
    ...task,
  });
  const listed: ListedImage[][] = [];
  for (const [position, listing] of listings.entries()) {
    const images: ListedImage[] = [];
    for await (const image of listedImages(listing, ended.result.sources[position]!.chunks.length)) images.push(image);
    listed.push(images);
  }
  return {ended, listed, folders: listings};
}

export function referenceOf(root: string, {id, file, member, offset, length, encoding}: ListedImage): ImageReference {
  const path = `${root}/${file}`;
  return {id, place: member === null ? path : `${path}#${member}`, file: path, offset, length, encoding};
}
