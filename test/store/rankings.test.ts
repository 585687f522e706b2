import {describe, expect, it} from 'vitest';
import {packIds} from '../../src/ranking/image-ids.js';
import {addPool, addSource, entry, imageId, newStore, query, settle} from './new-store.js';

const nothing = {scores: new Float32Array(), ids: new Uint32Array()};

/** A store with ranked images: class `apple` ranks images 0..249 by number, `pear` the even ones, `plum` none. */
async function ranked() {
  const run = await newStore();
  const {store, file} = run;
  await addPool(
    run,
    Array.from({length: 300}, (_, number) => entry(number, `${number}.png`)),
  );
  store.atomically(() => {
    store.images.setClasses(['apple', 'pear', 'plum']);
    store.images.split({seed: 0, labelledPerClass: null, validation: null, restIsPool: false});
  });
  const rows = (numbers: number[]) => ({
    candidates: numbers.length + 7,
    ranked: {scores: Float32Array.from(numbers, number => -(number + 1) / 8), ids: packIds(numbers.map(imageId))},
  });
  const numbers = Array.from({length: 250}, (_, number) => number);
  const rankings = [rows(numbers), rows(numbers.filter(number => number % 2 === 0)), rows([])];
  const replace = () => store.atomically(() => store.rankings.replace(3, position => rankings[position]!));
  replace();
  await settle(run);
  return {store, file, replace};
}

describe('rankings', () => {
  it('are written with ranks from 1, in the order given, however many there are', async () => {
    const {file} = await ranked();
    const rows = query(file, "SELECT rank, score, image, selected FROM ranking WHERE class = 'apple' ORDER BY rank");
    expect(rows).toEqual(
      Array.from({length: 250}, (_, number) => ({
        rank: number + 1,
        score: -(number + 1) / 8,
        image: imageId(number),
        selected: 1,
      })),
    );
  });

  it('replace all earlier ones', async () => {
    const {store, file, replace} = await ranked();
    replace();
    expect(query(file, 'SELECT count(*) AS n FROM ranking')).toEqual([{n: 250 + 125}]);
    store.atomically(() => store.rankings.replace(3, () => ({candidates: 0, ranked: nothing})));
    expect(query(file, 'SELECT count(*) AS n FROM ranking')).toEqual([{n: 0}]);
  });

  it('stay as they were where writing fails in the middle', async () => {
    const {store, file} = await ranked();
    const fail = () =>
      store.atomically(() =>
        store.rankings.replace(3, position => {
          if (position === 2) throw new Error('score file damaged');
          return {candidates: 1, ranked: nothing};
        }),
      );
    expect(fail).toThrow('score file damaged');
    expect(query(file, 'SELECT count(*) AS n FROM ranking')).toEqual([{n: 375}]);
    expect(query(file, "SELECT count(*) AS n FROM sqlite_master WHERE name = 'rankings_by_image'")).toEqual([{n: 1}]);
  });

  it('are summed up a class: candidates, selected, and the score of the last one kept', async () => {
    const {store} = await ranked();
    expect(store.rankings.summaries()).toEqual([
      {class: 'apple', candidates: 257, selected: 250, cutoff: -250 / 8},
      {class: 'pear', candidates: 132, selected: 125, cutoff: -249 / 8},
      {class: 'plum', candidates: 7, selected: 0, cutoff: null},
    ]);
  });

  it('are read in parts, with the place of each image', async () => {
    const {store} = await ranked();
    expect(store.rankings.rows('pear', 2, 1)).toEqual([
      {rank: 2, score: -3 / 8, image: imageId(2), place: '/unlabelled/2.png', selected: 1},
      {rank: 3, score: -5 / 8, image: imageId(4), place: '/unlabelled/4.png', selected: 1},
    ]);
    expect(store.rankings.ofImage(imageId(2))).toEqual([
      {class: 'apple', rank: 3, selected: 1},
      {class: 'pear', rank: 2, selected: 1},
    ]);
  });
});

describe('the stable views', () => {
  it('ranking: class, rank, score, image, place, selected', async () => {
    const {file} = await ranked();
    expect(query(file, "SELECT * FROM ranking WHERE class = 'pear' AND rank = 1")).toEqual([
      {class: 'pear', rank: 1, score: -1 / 8, image: imageId(0), place: '/unlabelled/0.png', selected: 1},
    ]);
  });

  it('image: image, place, label, split, pool', async () => {
    const run = await newStore();
    const {store, file} = run;
    addSource(store, 'test', [
      {...entry('t', 'test.bin', 'pear'), member: '3', offset: 9222, length: 3072, encoding: 'cifar'},
    ]);
    await addPool(run, [entry('u', 'u.png'), entry('not chosen', 'n.png')]);
    store.atomically(() => {
      store.images.setClasses(['apple', 'pear']);
      store.images.split({seed: 0, labelledPerClass: null, validation: null, restIsPool: false});
      store.rankings.replace(1, () => ({
        candidates: 1,
        ranked: {scores: Float32Array.of(-1), ids: packIds([imageId('u')])},
      }));
    });
    await settle(run);
    expect(query(file, 'SELECT * FROM image ORDER BY place')).toEqual([
      {image: imageId('t'), place: '/test/test.bin#3', label: 'pear', split: 'test', pool: 0},
      {image: imageId('u'), place: '/unlabelled/u.png', label: null, split: null, pool: 1},
    ]);
  });

  it('stage: name, status, message, started_at, seconds, summary', async () => {
    const {store, file} = await newStore();
    store.stages.begin('score', {});
    store.stages.stop('score', 'failed', 'no room', 1.5);
    expect(query(file, 'SELECT * FROM stage')).toEqual([
      {
        name: 'score',
        status: 'failed',
        message: 'no room',
        started_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
        seconds: 1.5,
        summary: 'null',
      },
    ]);
  });

  it('event: sequence, at, stage, type, body', async () => {
    const {store, file} = await newStore();
    store.events.add({type: 'note', stage: 'score', message: 'hm'});
    store.events.add({type: 'note', stage: null, message: 'bye'});
    expect(query(file, 'SELECT sequence, stage, type, body FROM event')).toEqual([
      {sequence: 1, stage: 'score', type: 'note', body: '{"type":"note","stage":"score","message":"hm"}'},
      {sequence: 2, stage: null, type: 'note', body: '{"type":"note","stage":null,"message":"bye"}'},
    ]);
    expect(Object.keys(query(file, 'SELECT * FROM event')[0] ?? {})).toEqual([
      'sequence',
      'at',
      'stage',
      'type',
      'body',
    ]);
  });
});
