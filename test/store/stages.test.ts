import {describe, expect, it, onTestFinished, vi} from 'vitest';
import type {OutputRecord} from '../../src/store/stages.js';
import {newStore, query} from './new-store.js';

const outputs: OutputRecord[] = [
  {name: 'scores', path: 'data/run/scores/shard-00000.parquet', sha256: 'aa'},
  {name: 'ranking', path: null, sha256: 'bb'},
];
const finished = {
  name: 'score',
  status: 'done' as const,
  ingredients: {version: '1'},
  seconds: 2,
  summary: {images: 3},
  outputs,
};

describe('the record of a stage', () => {
  it('is null before it ever began', async () => expect((await newStore()).store.stages.read('score')).toBe(null));

  it('holds what it vouches for, and what that depended on', async () => {
    const {store} = await newStore();
    store.stages.begin('score', {});
    store.stages.finish(finished);
    expect(store.stages.read('score')).toMatchObject({...finished, message: null});
  });

  it('vouches for nothing while the stage runs again', async () => {
    const {store} = await newStore();
    store.stages.finish(finished);
    store.stages.begin('score', {});
    expect(store.stages.read('score')).toMatchObject({
      status: 'running',
      ingredients: null,
      outputs: [],
      summary: null,
    });
  });

  it('adds up the seconds of attempts that went on from each other, and begins anew after a whole one', async () => {
    const {store} = await newStore();
    store.stages.begin('score', {});
    store.stages.stop('score', 'interrupted', 'Interrupted', 5);
    store.stages.begin('score', {});
    store.stages.finish(finished);
    expect(store.stages.read('score')?.seconds).toBe(7);
    store.stages.begin('score', {});
    store.stages.finish(finished);
    expect(store.stages.read('score')?.seconds).toBe(2);
  });

  it('tells when the first of such attempts started', async () => {
    onTestFinished(() => void vi.useRealTimers());
    const {store, file} = await newStore();
    const startedAt = () => query(file, "SELECT started_at FROM stage WHERE name = 'score'")[0]?.['started_at'];
    const at = (time: string) => vi.useFakeTimers({toFake: ['Date'], now: new Date(time)});
    at('2026-01-01T10:00:00.000Z');
    store.stages.begin('score', {});
    at('2026-01-01T11:00:00.000Z');
    store.stages.stop('score', 'interrupted', 'Interrupted', 5);
    store.stages.begin('score', {});
    at('2026-01-01T12:00:00.000Z');
    store.stages.finish(finished);
    expect(startedAt()).toBe('2026-01-01T10:00:00.000Z');
    store.stages.begin('score', {});
    expect(startedAt()).toBe('2026-01-01T12:00:00.000Z');
  });
});

it('keeps what was told of trainings in order, whatever else was told', async () => {
  const {store} = await newStore();
  const begun = {type: 'begun', stage: 'teacher', part: '', step: 0, epoch: 0} as const;
  const evaluated = {type: 'evaluated', stage: 'teacher', part: '', epoch: 1, top1: 0.5, top5: 1, loss: 1} as const;
  store.events.add(begun);
  store.events.add({type: 'note', stage: 'teacher', message: 'a note'});
  store.events.add({...evaluated, stage: 'pretrain'});
  store.events.add(evaluated);
  expect(store.events.ofTrainings('teacher')).toEqual([begun, evaluated]);
  expect(store.events.of('teacher', 'note')).toMatchObject([{message: 'a note'}]);
});

it('counts quarantined images by stage and part, without the leaks', async () => {
  const {store} = await newStore();
  const row = (code: string) => ({image: null, place: '/a.png', code, detail: 'd'});
  store.quarantine.add('score', '1', row('CORRUPT'));
  store.quarantine.add('score', '12', row('CORRUPT'));
  store.quarantine.add('prepare', 'split', row('LEAK'));
  expect([
    store.quarantine.failures('score'),
    store.quarantine.failures('score', '1'),
    store.quarantine.failures('prepare'),
  ]).toEqual([2, 1, 0]);
  expect(store.quarantine.counts()).toEqual([
    {stage: 'score', code: 'CORRUPT', images: 2},
    {stage: 'prepare', code: 'LEAK', images: 1},
  ]);
  store.quarantine.keepParts('score', ['12']);
  expect(store.quarantine.ofPlace('/a.png').map(({code}) => code)).toEqual(['CORRUPT', 'LEAK']);
});
