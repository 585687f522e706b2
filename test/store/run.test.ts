import Database from 'better-sqlite3';
import {describe, expect, it} from 'vitest';
import {tellBelonging} from '../../src/store/run.js';
import {newStore} from './new-store.js';

const holder = {pid: 1, host: 'here', since: 'now'};

describe('what a run is a part of', () => {
  it('is recorded with who takes it, and an arm that is brought up to date by itself stays one', async () => {
    const {store} = await newStore();
    expect(store.run.belonging()).toBe(null);
    const arm = {experiment: 'k', arm: 'k4', seed: 2};
    store.run.take('k.k4.seed2.round2', holder, {arm, first: 'k.k4.seed2', round: 2});
    store.run.take('k.k4.seed2.round2', holder, {arm: null, first: 'k.k4.seed2', round: 2});
    expect(store.run.belonging()).toEqual({arm, first: 'k.k4.seed2', round: 2});
  });

  it.each([
    ['birds', {arm: null, first: 'birds', round: 1}],
    ['birds.round3', {arm: null, first: 'birds', round: 3}],
    ['a.b.k4.seed12.round2', {arm: {experiment: 'a.b', arm: 'k4', seed: 12}, first: 'a.b.k4.seed12', round: 2}],
    ['x.arm.seed', {arm: null, first: 'x.arm.seed', round: 1}],
  ])('is read off the name of a run of before: %s', async (name, belonging) => {
    const {store, file} = await newStore();
    store.run.take(name, holder);
    const connection = new Database(file);
    tellBelonging(connection);
    connection.close();
    expect(store.run.belonging()).toEqual(belonging);
  });
});
