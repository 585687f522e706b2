import {describe, expect, it} from 'vitest';
import {addSource, entry, imageId, inPool, newStore} from './new-store.js';

const NONE = {seed: 0, labelledPerClass: null, validation: null, restIsPool: false};

/** A pool of images 0, 1, 2 ..., which can be listed anew. */
async function pool(images: number) {
  const {store} = await newStore();
  const fill = (contents: readonly number[]) =>
    store.atomically(() => {
      store.images.keepSources([]);
      const source = store.images.addSource('unlabelled', {kind: 'folder', path: '/pool', split: null}, '/pool');
      for (const content of contents) store.images.addEntry(source, entry(content, `${content}.png`));
      store.images.split(NONE);
    });
  fill(upTo(images));
  const cut = (size: number) => store.atomically(() => store.shards.cut(size));
  const grow = (size: number) => store.atomically(() => store.shards.grow(size));
  const scoreAll = () =>
    store.shards.all().forEach(({number, images}) => store.shards.setScored(number, 'f', 'abc', images));
  const fingerprints = () => store.shards.all().map(shard => shard.fingerprint);
  const contents = (shard: number) => new Set(store.images.ofShard(shard).map(({id}) => id));
  return {store, fill, cut, grow, scoreAll, fingerprints, contents};
}
const upTo = (end: number, from = 0): number[] => Array.from({length: end - from}, (_, at) => from + at);
const ids = (contents: readonly number[]): Set<string> => new Set(contents.map(imageId));

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
    const covered = store.shards.all().flatMap(({number}) => store.images.ofShard(number));
    expect(covered).toEqual(inPool(store));
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
    for (const {number, images} of store.shards.all()) expect(store.images.ofShard(number)).toHaveLength(images);
  });

  it('tells the shard of an image', async () => {
    const {store, cut} = await pool(10);
    cut(4);
    expect(inPool(store).map(({id}) => store.images.standingOf(id)?.shard)).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2]);
    expect(store.shards.numbered(2)?.images).toBe(2);
    expect(store.shards.numbered(3)).toBe(null);
  });

  it('keeps the scoring of shards that hold the same images as before, and forgets that of all others', async () => {
    const {fill, cut, scoreAll, fingerprints} = await pool(10);
    cut(4);
    scoreAll();
    // Listed in another order: an image that is known keeps its place.
    fill(upTo(10).reverse());
    cut(4);
    expect(fingerprints()).toEqual(['f', 'f', 'f']);
    fill(upTo(11));
    cut(4);
    expect(fingerprints()).toEqual(['f', 'f', null]);
    scoreAll();
    fill([0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]);
    cut(4);
    expect(fingerprints()).toEqual(['f', null, null]);
    scoreAll();
    cut(5);
    expect(fingerprints()).toEqual([null, null, null]);
    scoreAll();
    cut(100);
    expect(fingerprints()).toEqual([null]);
  });

  it('takes back what a shard vouched for', async () => {
    const {store, cut} = await pool(2);
    cut(2);
    store.shards.setScored(0, 'f', 'abc', 2);
    expect([store.shards.hasScored('f'), store.shards.hasScored('g')]).toEqual([true, false]);
    store.atomically(() => store.shards.setUnscored(0));
    expect(store.shards.all()).toMatchObject([{fingerprint: null, sha256: null, rows: null, images: 2}]);
  });
});

describe('a pool that changes', () => {
  it('puts what joined it into shards of its own, and leaves the others as they are', async () => {
    const {store, fill, cut, grow, scoreAll, fingerprints, contents} = await pool(6);
    cut(4);
    scoreAll();
    fill([...upTo(15, 6), ...upTo(6)]);
    expect(store.images.poolChange()).toEqual({added: 9, stayed: 6, left: 0});
    grow(4);
    expect(fingerprints()).toEqual(['f', 'f', null, null, null]);
    expect([contents(1), contents(2), contents(4)]).toEqual([ids([4, 5]), ids([6, 7, 8, 9]), ids([14])]);
    expect(store.images.poolChange()).toEqual({added: 0, stayed: 15, left: 0});
  });

  it('leaves the scores of what left it out, and takes them again where it comes back', async () => {
    const {store, fill, cut, grow, scoreAll, fingerprints, contents} = await pool(8);
    cut(4);
    scoreAll();
    fill([0, 2, 3, 4, 5, 6, 7, 8]);
    grow(4);
    expect(store.images.poolChange()).toEqual({added: 0, stayed: 8, left: 1});
    expect([store.shards.left(0), store.shards.left(1)]).toEqual([[imageId(1)], []]);
    expect(fingerprints()).toEqual(['f', 'f', null]);
    expect(store.shards.all().map(({images}) => images)).toEqual([3, 4, 1]);
    expect(store.images.placesOf(imageId(1))).toEqual([]);
    fill(upTo(9));
    grow(4);
    expect([store.shards.left(0), contents(0)]).toEqual([[], ids([0, 1, 2, 3])]);
    expect(fingerprints()).toEqual(['f', 'f', null]);
  });

  it('scores what left it before its shard was scored anew, where it comes back', async () => {
    const {store, fill, cut, grow, scoreAll, fingerprints, contents} = await pool(4);
    cut(4);
    scoreAll();
    fill([0, 1, 2]);
    store.atomically(() => store.shards.setUnscored(0));
    store.shards.setScored(0, 'f', 'abc', 3);
    fill(upTo(4));
    grow(4);
    expect(fingerprints()).toEqual(['f', null]);
    expect([contents(0), contents(1)]).toEqual([ids([0, 1, 2]), ids([3])]);
  });

  it('tries what could not be scored again, where it left and comes back', async () => {
    const {store, fill, cut, grow, scoreAll, contents} = await pool(4);
    cut(4);
    scoreAll();
    const broken = (content: number) => ({image: imageId(content), place: `/${content}`, code: 'CORRUPT', detail: ''});
    store.quarantine.add('score', '0', broken(3));
    store.quarantine.add('score', '0', broken(2));
    fill([0, 1, 2]);
    store.atomically(() => store.shards.forgetFailuresOfLeft());
    expect([store.quarantine.ofImage(imageId(3)), store.quarantine.failures('score')]).toEqual([[], 1]);
    fill(upTo(4));
    grow(4);
    expect([contents(0), contents(1)]).toEqual([ids([0, 1, 2]), ids([3])]);
  });

  it('is known by its images, in whatever order they are listed', async () => {
    const {store, fill} = await pool(5);
    const digest = store.images.poolDigest();
    fill([4, 2, 0, 1, 3]);
    expect(store.images.poolDigest()).toBe(digest);
    fill([4, 2, 0, 1, 5]);
    expect(store.images.poolDigest()).not.toBe(digest);
    fill([4, 2, 0, 1]);
    expect(store.images.poolDigest()).not.toBe(digest);
  });
});
