import {expect, it} from 'vitest';
import {summarise, tQuantile} from '../../src/report/intervals.js';

it.each([
  // The table of any textbook.
  [1, 12.7062],
  [2, 4.30265],
  [3, 3.18245],
  [4, 2.77645],
  [5, 2.57058],
  [9, 2.26216],
  [10, 2.22814],
  [30, 2.04227],
  [99, 1.98422],
  [100, 1.98397],
])('with %i degrees of freedom 95 %% of t lie within ±%f', (degrees, quantile) => {
  expect(tQuantile(degrees)).toBeCloseTo(quantile, 4);
});

it('gives mean, standard deviation and interval as worked out by hand', () => {
  // Mean 3; squared deviations 4, 1, 0, 1, 4: variance 10/4; half the interval 2.77645 x 1.58114 / 2.23607.
  const {n, mean, deviation, interval} = summarise([1, 2, 3, 4, 5])!;
  expect([n, mean]).toEqual([5, 3]);
  expect(deviation).toBeCloseTo(1.58114, 5);
  expect(interval!.low).toBeCloseTo(3 - 1.96324, 4);
  expect(interval!.high).toBeCloseTo(3 + 1.96324, 4);
});

it('knows no spread of one measurement, and nothing of none', () => {
  expect(summarise([0.4])).toEqual({n: 1, mean: 0.4, deviation: null, interval: null});
  expect(summarise([])).toBe(null);
});
