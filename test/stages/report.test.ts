import {describe, expect, it} from 'vitest';
import {lastAccount} from '../../src/stages/report.js';

const accountOf = (...epochs: number[]) => lastAccount(epochs, epoch => epoch);

describe('the curve of a training', () => {
  it('is all that was told, where it went through', () => expect(accountOf(1, 2, 3)).toEqual([1, 2, 3]));

  it('holds an epoch once that was told again after a kill', () => expect(accountOf(1, 2, 3, 3, 4)).toEqual([1, 2, 3, 4]));

  it('goes on after an interruption', () => expect(accountOf(1, 2, 5, 6)).toEqual([1, 2, 5, 6]));

  it('is that of the new training alone, where it began anew', () => expect(accountOf(5, 10, 15, 5, 10)).toEqual([5, 10]));

  it('keeps the later account of an epoch', () => {
    const events = [{epoch: 1, top1: 0.1}, {epoch: 2, top1: 0.2}, {epoch: 2, top1: 0.3}];
    expect(lastAccount(events, event => event.epoch)).toEqual([{epoch: 1, top1: 0.1}, {epoch: 2, top1: 0.3}]);
  });
});
