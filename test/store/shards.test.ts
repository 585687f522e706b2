import {describe, expect, it} from 'vitest';
import {addSource, entry, newStore} from './new-store.js';

async function pool(images: number) {
  const {store, file} = await newStore();
  const none = {seed: 0, labelledPerClass: null, validation: null, restIsPool: false};
  const fill = (count: number, from = 0) => {
    store.images.clear();
    addSource(
      store,
      'unlabelled',
      Array.from({length: count}, (_, number) => entry(from + number, `${from + number}.png`)),
    );
    store.atomically(() => store.images.split(none));
  };
  fill(images);
  const cut = (size: number) => store.atomically(() => store.shards.cut(size));
  return {store, file, fill, cut};
}

describe('cutting the pool into shards', () => {
  it.each([
    [10, 4, [4, 4, 2]],
    [8, 4, [4, 4]],
    [3, 4096, [3]],
    [1, 1, [1]],
    [0, 4, []],
  ])('of %s images with %s a shard', async (images, size, expected) => {
    const {store, cut} = await pool(images);
    cut(size);
    expect(store.shards.all().map(shard => shard.images)).toEqual(expected);
    expect(store.shards.all().map(shard => shard.number)).toEqual(expected.map((_, number) => number));
    const covered = store.shards.all().flatMap(shard => store.images.ofPool(shard.firstImage, shard.lastImage));
    expect(covered.map(image => image.key)).toEqual(
      store.images.ofPool(0, Number.MAX_SAFE_INTEGER).map(image => image.key),
    );
  });

  it('leaves gaps of images that are in no pool out of the count', async () => {
    const {store, cut} = await pool(0);
    addSource(
      store,
      'labelled',
      Array.from({length: 20}, (_, number) => entry(`l ${number}`, `a/${number}.png`, 'a')),
    );
    addSource(
      store,
      'unlabelled',
      Array.from({length: 6}, (_, number) => entry(`u ${number}`, `${number}.png`)),
    );
    store.atomically(() => {
      store.images.setClasses(['a', 'b']);
      store.images.split({seed: 0, labelledPerClass: 4, validation: {perClass: 4}, restIsPool: true});
    });
    cut(5);
    expect(store.shards.all().map(shard => shard.images)).toEqual([5, 5, 5, 3]);
    for (const shard of store.shards.all())
      expect(store.images.ofPool(shard.firstImage, shard.lastImage)).toHaveLength(shard.images);
  });

  it('finds the shard of an image', async () => {
    const {store, cut} = await pool(10);
    cut(4);
    const keys = store.images.ofPool(0, Number.MAX_SAFE_INTEGER).map(image => image.key);
    expect(keys.map(key => store.shards.containing(key)?.number)).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2]);
    expect(store.shards.containing(99)).toBe(null);
  });

  it('keeps the scoring of shards whose bounds stay, and forgets that of all others', async () => {
    const {store, fill, cut} = await pool(10);
    const scoreAll = () =>
      store.shards.all().forEach(shard => store.shards.setScored(shard.number, 'f', 'abc', shard.images));
    const scored = () => store.shards.all().map(shard => shard.fingerprint);
    cut(4);
    scoreAll();
    fill(10);
    cut(4);
    expect(scored()).toEqual(['f', 'f', 'f']);
    fill(11);
    cut(4);
    expect(scored()).toEqual(['f', 'f', null]);
    scoreAll();
    cut(5);
    expect(scored()).toEqual([null, null, null]);
    scoreAll();
    cut(100);
    expect(scored()).toEqual([null]);
  });

  it('takes back what a shard vouched for', async () => {
    const {store, cut} = await pool(2);
    cut(2);
    store.shards.setScored(0, 'f', 'abc', 2);
    store.shards.setUnscored(0);
    expect(store.shards.all()).toMatchObject([{fingerprint: null, sha256: null, rows: null, images: 2}]);
  });
});
