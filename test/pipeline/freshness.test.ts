import {describe, expect, it} from 'vitest';
import {verdict, type Recorded} from '../../src/pipeline/freshness.js';

const ingredients = {version: '1', 'select.top_k': '1000', 'score.scores': 'a'.repeat(64)};
const done: Recorded = {status: 'done', ingredients, begun: null, message: null};
const reasonFor = (
  recorded: Recorded | null,
  now = {},
  damage: Parameters<typeof verdict>[2] = [],
  pending: readonly string[] = [],
) => verdict(recorded, {...ingredients, ...now}, damage, pending);
const stale = (reason: string, outdated = true) => ({fresh: false, reason, outdated});

describe('a stage is fresh', () => {
  it('while nothing that it depends on has changed', () => {
    expect(reasonFor(done)).toEqual({fresh: true, reason: 'nothing changed', outdated: false, changed: []});
  });

  it('after it was skipped as asked', () => {
    expect(reasonFor({...done, status: 'skipped'})).toEqual({
      fresh: true,
      reason: 'skipped as asked, nothing changed',
      outdated: false,
      changed: [],
    });
  });
});

describe('a stage is stale', () => {
  it.each<[string, Recorded | null, string]>([
    ['before it ever ran', null, 'never ran'],
    [
      'after its process died in the middle',
      {status: 'running', ingredients: null, begun: null, message: null},
      'was cut short: goes on where it stopped',
    ],
    [
      'after an interruption',
      {status: 'interrupted', ingredients: null, begun: null, message: 'Interrupted'},
      'was interrupted: goes on where it stopped',
    ],
    [
      'after a failure, whose first line it tells',
      {status: 'failed', ingredients: null, begun: null, message: 'The disk is full.\nmore'},
      'failed: The disk is full.',
    ],
    [
      'after a failure without a message',
      {status: 'failed', ingredients: null, begun: null, message: null},
      'failed: unknown reason',
    ],
  ])('%s', (_, recorded, reason) => expect(reasonFor(recorded)).toMatchObject(stale(reason)));

  it('after an interruption, and begins anew where what it began with has changed since', () => {
    const interrupted: Recorded = {
      status: 'interrupted',
      ingredients: null,
      begun: ingredients,
      message: 'Interrupted',
    };
    expect(reasonFor(interrupted)).toMatchObject(stale('was interrupted: goes on where it stopped'));
    expect(reasonFor(interrupted, {'select.top_k': '5'})).toMatchObject(
      stale('was interrupted: starts anew, since select.top_k changed from 1000 to 5'),
    );
  });

  it('when a setting changed, with both values', () => {
    expect(reasonFor(done, {'select.top_k': '2000'})).toMatchObject(stale('select.top_k changed from 1000 to 2000'));
  });

  it('when what it reads changed, without the hashes', () => {
    expect(reasonFor(done, {'score.scores': 'b'.repeat(64)})).toMatchObject(stale('score.scores changed'));
  });

  it('when several things changed, naming the first two or counting the others', () => {
    expect(reasonFor(done, {version: '2', 'select.top_k': '1'})).toMatchObject(
      stale('version changed from 1 to 2, and select.top_k too'),
    );
    expect(reasonFor(done, {version: '2', 'select.top_k': '1', 'score.scores': 'c'})).toMatchObject(
      stale('version changed from 1 to 2, and 2 other things too'),
    );
  });

  it('when an ingredient came or went', () => {
    expect(verdict(done, {...ingredients, seed: '1'}, [], [])).toMatchObject(stale('seed changed'));
    expect(verdict({...done, ingredients: {...ingredients, seed: '1'}}, ingredients, [], [])).toMatchObject(
      stale('seed changed'),
    );
  });

  it('when an output is missing or was altered, before any other reason', () => {
    expect(reasonFor(done, {version: '2'}, [{path: 'data/run/a', kind: 'missing'}])).toMatchObject(
      stale('data/run/a is missing'),
    );
    expect(
      reasonFor(done, {}, [
        {path: 'b', kind: 'changed'},
        {path: 'c', kind: 'missing'},
      ]),
    ).toMatchObject(stale('b is not what was written, and 1 more', false));
  });

  it('when it follows stages that will run, whose outputs are not known yet', () => {
    expect(reasonFor(done, {}, [], ['score.scores'])).toMatchObject(stale('follows score'));
    const recorded = {...done, ingredients: {...ingredients, 'prepare.pool': 'p', 'prepare.classes': 'c'}};
    expect(verdict(recorded, ingredients, [], ['score.scores', 'prepare.pool', 'prepare.classes'])).toMatchObject(
      stale('follows score and prepare'),
    );
  });
});

it('tells by name what changed or is to be made anew, where there is a whole result', () => {
  expect(reasonFor(done, {'select.top_k': '5'}, [], ['score.scores']).changed).toEqual([
    'select.top_k',
    'score.scores',
  ]);
  expect(reasonFor(done, {'select.top_k': '5'}, [{path: 'a', kind: 'missing'}]).changed).toEqual([]);
  expect(reasonFor(null).changed).toEqual([]);
});

it('tells how many files there were and are, and shows nobody the digest of their times', () => {
  const changed = (before: string, now: string) =>
    verdict({...done, ingredients: {files: before}}, {files: now}, [], []).reason;
  expect(changed('40 files 82384b2739039439', '295 files 860fa2736b5d0774')).toBe(
    'files changed from 40 files to 295 files',
  );
  expect(changed('40 files 82384b2739039439', '40 files 860fa2736b5d0774')).toBe('files changed');
});
