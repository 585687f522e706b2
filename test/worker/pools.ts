/** Pools of real pictures on disk, indexed by the worker itself. */
import type {ImageReference, IndexEntry} from '../../src/children/protocol.js';
import {cifarRecord, jpeg, png, put} from '../images/pictures.js';
import {tarOf} from '../images/tar-file.js';
import {eventsOf, resultOf} from './worker-process.js';

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

const roots = (root: string) => [`${root}/folder`, `${root}/shards`, `${root}/cifar`];

/** Every image of a mixed pool as a score or pack descriptor names it, in the order of its index. */
export async function indexed(root: string, sources = mixedSources(root)): Promise<ImageReference[]> {
  const ended = await resultOf('index', {
    sources,
    ownFolders: [],
    cache: `${root}/cache`,
    maxFileBytes: 1_000_000,
    readThreads: 2,
  });
  return eventsOf(ended, 'indexed').flatMap(({source, entries}) =>
    entries.flatMap(entry => referenceOf(roots(root)[source] ?? '', entry)),
  );
}

export function referenceOf(root: string, {id, file, member, offset, length, encoding}: IndexEntry): ImageReference[] {
  const path = `${root}/${file}`;
  return id === null
    ? []
    : [{id, place: member === null ? path : `${path}#${member}`, file: path, offset, length, encoding}];
}
