import {describe, expect, it} from 'vitest';
import {packIds} from '../../src/ranking/image-ids.js';
import type {Store} from '../../src/store/open.js';
import {imageId, newStore} from './new-store.js';

const settled = (store: Store, images: readonly number[], renewed: readonly number[] = []) =>
  store.atomically(() =>
    store.shards.settle({
      images: new Map(images.entries()),
      left: new Map([[0, packIds([imageId(1)])]]),
      renewed: new Set(renewed),
    }),
  );

describe('shards', () => {
  it('keep what was scored of them as they are settled again, but for those that are of other images', async () => {
    const {store} = await newStore();
    settled(store, [4, 4, 2]);
    for (const {number, images} of store.shards.all()) store.shards.setScored(number, 'f', 'abc', images);
    settled(store, [3, 4, 2, 4], [1]);
    expect(store.shards.all().map(({images, fingerprint}) => [images, fingerprint])).toEqual([
      [3, 'f'],
      [4, null],
      [2, 'f'],
      [4, null],
    ]);
    settled(store, [3]);
    expect(store.shards.all().map(({number}) => number)).toEqual([0]);
    expect([store.shards.numbered(0)?.images, store.shards.numbered(1)]).toEqual([3, null]);
  });

  it('know who left them since they were scored', async () => {
    const {store} = await newStore();
    settled(store, [4, 4]);
    expect([store.shards.left(0), store.shards.left(1)]).toEqual([[imageId(1)], []]);
  });

  it('take back what they vouched for', async () => {
    const {store} = await newStore();
    settled(store, [2]);
    store.shards.setScored(0, 'f', 'abc', 2);
    expect([store.shards.hasScored('f'), store.shards.hasScored('g')]).toEqual([true, false]);
    store.shards.setUnscored(0);
    expect(store.shards.all()).toMatchObject([{fingerprint: null, sha256: null, rows: null, images: 2}]);
  });
});
