import {describe, expect, it} from 'vitest';
import {packIds} from '../../src/ranking/image-ids.js';
import type {ListedImage} from '../../src/pool/listing-files.js';
import type {DrawOptions, Split} from '../../src/store/images.js';
import type {Store} from '../../src/store/open.js';
import {addPool, addSource, entry, imageId, inPool, labelled, newStore, settle} from './new-store.js';

const classes = ['apple', 'pear', 'plum'];
const draw: DrawOptions = {seed: 0, labelledPerClass: null, validation: {share: 0.1, atLeast: 5}, restIsPool: false};

const split = (store: Store, options: Partial<DrawOptions> = {}) =>
  store.atomically(() => store.images.split({...draw, ...options}));
const idsOf = (store: Store, of: Split): string[] => [...store.images.ofSplit(of)].map(image => image.id);
const restOf = (store: Store): string[] => [...store.images.rest()].map(({id}) => id);
const countsOf = (store: Store) => ({
  train: store.images.splitCounts('train', classes.length),
  validation: store.images.splitCounts('validation', classes.length),
  test: store.images.splitCounts('test', classes.length),
  rest: restOf(store).length,
});

/** A store with 40 labelled images a class, in the order that `order` gives them. */
async function drawn(options: Partial<DrawOptions> = {}, order = (entries: ListedImage[]) => entries): Promise<Store> {
  const {store} = await newStore();
  addSource(store, 'labelled', order(labelled(classes, 40)));
  store.atomically(() => store.images.setClasses(classes));
  split(store, options);
  return store;
}

/** What is trained on, with the labels it has. */
const labelledIds = (store: Store) => [...store.images.ofSplit('train')].map(({id, label}) => `${id} ${label}`);

describe('the draw', () => {
  it('is the same for the same seed, whatever the order in which the images were listed', async () => {
    const options = {labelledPerClass: 10, restIsPool: true};
    const [one, other] = [await drawn(options), await drawn(options, entries => entries.toReversed())];
    for (const of of ['train', 'validation'] as const) expect(idsOf(other, of)).toEqual(idsOf(one, of));
    expect(restOf(other).sort()).toEqual(restOf(one).sort());
    expect(labelledIds(other)).toEqual(labelledIds(one));
  });

  it('is another for another seed', async () => {
    const draws = await Promise.all(
      [0, 1, 2].map(async seed => labelledIds(await drawn({seed, labelledPerClass: 10})).join()),
    );
    expect(new Set(draws).size).toBe(3);
  });

  it('takes as many of each class', async () => {
    expect(countsOf(await drawn({labelledPerClass: 20, validation: {share: 0.3, atLeast: 5}}))).toMatchObject({
      train: [14, 14, 14],
      validation: [6, 6, 6],
    });
  });

  it('splits off the share for validation, rounded up, at least five a class', async () => {
    expect(countsOf(await drawn())).toMatchObject({train: [35, 35, 35], validation: [5, 5, 5]});
    expect(countsOf(await drawn({validation: {share: 0.16, atLeast: 5}}))).toMatchObject({
      train: [33, 33, 33],
      validation: [7, 7, 7],
    });
  });

  it('never splits off more than half of a class, and never what the labelled draw left over', async () => {
    expect(countsOf(await drawn({labelledPerClass: 6}))).toMatchObject({train: [3, 3, 3], validation: [3, 3, 3]});
    expect(countsOf(await drawn({labelledPerClass: 3}))).toMatchObject({train: [2, 2, 2], validation: [1, 1, 1]});
    expect(countsOf(await drawn({labelledPerClass: 1}))).toMatchObject({train: [1, 1, 1], validation: [0, 0, 0]});
  });

  it('takes validation.per_class beside the labelled ones, not off them', async () => {
    const store = await drawn({labelledPerClass: 10, validation: {perClass: 7}, restIsPool: true});
    expect(countsOf(store)).toEqual({train: [10, 10, 10], validation: [7, 7, 7], test: [0, 0, 0], rest: 3 * 23});
  });

  it('keeps the validation images when more labelled ones are drawn', async () => {
    const [few, many] = [
      await drawn({labelledPerClass: 5, validation: {perClass: 7}}),
      await drawn({labelledPerClass: 20, validation: {perClass: 7}}),
    ];
    expect(idsOf(many, 'validation')).toEqual(idsOf(few, 'validation'));
    expect(idsOf(many, 'train')).toEqual(expect.arrayContaining(idsOf(few, 'train')));
  });

  it('makes the rest a pool with its labels hidden, where it is asked to', async () => {
    const store = await drawn({labelledPerClass: 10, restIsPool: true});
    expect(restOf(store)).toHaveLength(3 * 30);
    expect(new Set([...store.images.rest()].map(({label}) => label))).toEqual(new Set([null]));
    expect(restOf(await drawn({labelledPerClass: 10}))).toEqual([]);
  });
});

describe('sets that share images', () => {
  it('keep a shared image in the test set, then in the validation set, and out of training and of the pool', async () => {
    const run = await newStore();
    const {store} = run;
    const twice = (role: string, label: string | null) => [
      entry('in all', `${role}/a.png`, label),
      entry(`in ${role} and pool`, `${role}/b.png`, label),
    ];
    addSource(store, 'labelled', [
      ...labelled(['apple', 'pear'], 12),
      ...twice('labelled', 'apple'),
      entry('in labelled and validation', 'v.png', 'apple'),
    ]);
    addSource(store, 'validation', [
      ...twice('validation', 'apple'),
      entry('in labelled and validation', 'w.png', 'apple'),
    ]);
    addSource(store, 'test', twice('test', 'apple'));
    await addPool(run, [
      entry('in all', 'a.png'),
      entry('in test and pool', 'x/1.png'),
      entry('in test and pool', 'x/2.png'),
      entry('in labelled and pool', 'l.png'),
      entry('only here', 'o.png'),
    ]);
    store.atomically(() => store.images.setClasses(['apple', 'pear']));
    const {leaks, conflicts} = split(store, {validation: null});
    const refused = await settle(run);

    expect(idsOf(store, 'test').sort()).toEqual([imageId('in all'), imageId('in test and pool')].sort());
    expect(idsOf(store, 'validation').sort()).toEqual(
      [imageId('in labelled and validation'), imageId('in validation and pool')].sort(),
    );
    expect(idsOf(store, 'train')).toContain(imageId('in labelled and pool'));
    // The teacher may score what it was trained on; it must not score what others are judged by.
    expect(await inPool(run)).toEqual([imageId('in labelled and pool'), imageId('only here')].sort());
    expect(refused.map(({id, place}) => [id, place]).sort()).toEqual(
      [
        [imageId('in all'), '/unlabelled/a.png'],
        [imageId('in test and pool'), '/unlabelled/x/1.png'],
      ].sort(),
    );
    const found = leaks.map(
      ({id, detail}) =>
        `${['in all', 'in labelled and validation'].find(content => imageId(content) === id)}: ${detail}`,
    );
    expect(found.sort()).toEqual([
      'in all: in the labelled set and in the test set: kept in the test set only',
      'in all: in the labelled set and in the validation set: not trained on',
      'in all: in the validation set and in the test set: kept in the test set only',
      'in labelled and validation: in the labelled set and in the validation set: not trained on',
    ]);
    expect(conflicts).toEqual([]);
  });

  it('leave out bytes that are labelled with two classes, and name both', async () => {
    const {store} = await newStore();
    addSource(store, 'labelled', [
      ...labelled(['a,b', 'c'], 12),
      entry('both', 'a,b/x.png', 'a,b'),
      entry('both', 'c/x.png', 'c'),
    ]);
    store.atomically(() => store.images.setClasses(['a,b', 'c']));
    const {conflicts} = split(store, {restIsPool: true, labelledPerClass: 8});
    expect(conflicts).toEqual([
      {id: imageId('both'), place: '/labelled/a,b/x.png', detail: 'the same bytes are labelled a,b and c'},
    ]);
    expect([...idsOf(store, 'train'), ...idsOf(store, 'validation'), ...restOf(store)]).not.toContain(imageId('both'));
  });

  it('leave out bytes that the test or the validation set labels twice, from every set and from the pool', async () => {
    const run = await newStore();
    const {store} = run;
    addSource(store, 'labelled', [
      ...labelled(['a', 'b'], 12),
      entry('both', 'a/x.png', 'a'),
      entry('seen', 'a/y.png', 'a'),
    ]);
    addSource(store, 'validation', [
      entry('v', 'a/v.png', 'a'),
      entry('w', 'b/w.png', 'b'),
      entry('seen', 'a/s.png', 'a'),
      entry('seen', 'b/s.png', 'b'),
    ]);
    addSource(store, 'test', [
      entry('t', 'a/t.png', 'a'),
      entry('both', 'a/x.png', 'a'),
      entry('both', 'b/x.png', 'b'),
    ]);
    await addPool(run, [entry('both', 'x.png'), entry('seen', 'y.png'), entry('only here', 'o.png')]);
    store.atomically(() => store.images.setClasses(['a', 'b']));
    const {conflicts} = split(store, {validation: null, restIsPool: true});
    await settle(run);
    expect(conflicts).toEqual([
      {id: imageId('both'), place: '/test/a/x.png', detail: 'the same bytes are labelled a and b in the test set'},
      {
        id: imageId('seen'),
        place: '/validation/a/s.png',
        detail: 'the same bytes are labelled a and b in the validation set',
      },
    ]);
    expect([idsOf(store, 'test'), idsOf(store, 'validation').sort(), await inPool(run)]).toEqual([
      [imageId('t')],
      [imageId('v'), imageId('w')].sort(),
      [imageId('only here')],
    ]);
    for (const content of ['both', 'seen']) expect(idsOf(store, 'train')).not.toContain(imageId(content));
  });
});

describe('an image', () => {
  it('that lies in several places of a set is one image with all its places, the first one first', async () => {
    const {store} = await newStore();
    addSource(store, 'test', [
      entry('same', 'z.png'),
      entry('same', 'a.png'),
      {...entry('same', 'train.bin'), member: '7'},
    ]);
    expect(store.images.placesOf(imageId('same'))).toEqual(['/test/z.png', '/test/a.png', '/test/train.bin#7']);
    expect(store.images.byId(imageId('same'))).toMatchObject({file: '/test/z.png', place: '/test/z.png'});
  });

  it('is found by its place and by the beginning of its id', async () => {
    const {store} = await newStore();
    addSource(store, 'test', [entry(1, 'a#b.png'), {...entry(2, 'shard.tar'), member: 'x#1.png'}]);
    expect(store.images.idAt('/test/a#b.png')).toBe(imageId(1));
    expect(store.images.idAt('/test/shard.tar#x#1.png')).toBe(imageId(2));
    expect(store.images.idAt('/test/shard.tar#1.png')).toBe(null);
    expect(store.images.idAt('/elsewhere/a#b.png')).toBe(null);
    expect(store.images.idsWithPrefix(imageId(1).slice(0, 6))).toEqual([imageId(1)]);
    expect(store.images.idsWithPrefix('')).toHaveLength(2);
    expect(store.images.idsWithPrefix('ffffffffffffffff')).toEqual([]);
  });
});

it('gives a split page by page while rows are written in between', async () => {
  const {store} = await newStore();
  addSource(
    store,
    'test',
    Array.from({length: 2500}, (_, number) => entry(number, `a/${number}.png`, 'a')),
  );
  store.atomically(() => store.images.setClasses(['a', 'b']));
  split(store);
  const seen: string[] = [];
  for (const image of store.images.ofSplit('test')) {
    if (seen.push(image.id) % 1000 === 0)
      store.quarantine.add('prepare', 'test', {image: image.id, place: image.place, code: 'CORRUPT', detail: ''});
  }
  expect(seen).toEqual(Array.from({length: 2500}, (_, number) => imageId(number)).sort());
});

it('keeps rankings while the class list stays, and drops those of another list', async () => {
  const {store} = await newStore();
  const rank = () =>
    store.atomically(() =>
      store.rankings.replace(2, () => ({
        candidates: 1,
        ranked: {scores: Float32Array.of(-1), ids: packIds([imageId(1)])},
      })),
    );
  store.atomically(() => store.images.setClasses(['apple', 'pear']));
  rank();
  store.atomically(() => store.images.keepSources([]));
  store.atomically(() => store.images.setClasses(['apple', 'pear']));
  expect(store.rankings.summaries()).toHaveLength(2);
  store.atomically(() => store.images.setClasses(['pear', 'apple']));
  expect(store.rankings.summaries()).toEqual([]);
  expect(store.images.classes()).toEqual(['pear', 'apple']);
});

it('lists what lay at each place of a source, with the label it had', async () => {
  const {store} = await newStore();
  const source = addSource(store, 'labelled', [entry(1, 'a/1.png', 'a'), entry(1, 'b/1.png', 'b')]);
  expect([...store.images.listed(source)]).toEqual([
    {id: imageId(1), file: 'a/1.png', member: null, label: 'a'},
    {id: imageId(1), file: 'b/1.png', member: null, label: 'b'},
  ]);
});
