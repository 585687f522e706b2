import {describe, expect, it} from 'vitest';
import {configSchema} from '../../src/config/schema.js';
import {estimate, type Counts, type Speeds} from '../../src/app/estimate.js';

const config = configSchema.parse({
  labelled: 'a',
  unlabelled: 'b',
  test: 'c',
  teacher: {model: 'cifarnet', epochs: 2},
  select: {top_p: 1, top_k: 50},
  evaluate: {baseline: true},
});
const context = {config, size: 32, resize: 32, threads: 2};
const counts: Counts = {classes: 10, train: 200, validation: 50, test: 100, pool: 1000, bytesAnImage: 3000};
const speed = {trainImagesPerSecond: 1000, scoreImagesPerSecond: 5000};
const speeds: Speeds = {teacher: speed, student: speed, startUps: {trainer: 3, worker: 1}};
const secondsOf = (now: Counts = counts) =>
  Object.fromEntries(
    Object.entries(estimate(context, now, speeds)).map(([stage, {seconds}]) => [stage, seconds ?? NaN]),
  );

describe('how long a run is likely to take', () => {
  it('counts every start of a trainer, one of an image worker, and both exports: of little data they are nearly all of it', () => {
    const seconds = secondsOf({...counts, train: 20, validation: 10, test: 10, pool: 30});
    // Its worker stays for all that comes.
    expect(seconds['prepare']).toBeCloseTo(1, 0);
    expect(seconds['teacher']).toBeCloseTo(3, 0);
    expect(seconds['export']).toBeCloseTo(3 * 4.3, 0);
    expect(seconds['select']).toBeCloseTo(0, 0);
    // It trains and exports.
    expect(seconds['finetune']).toBeGreaterThan(3 + seconds['export']!);
    expect(Object.values(seconds).every(value => value > 0)).toBe(true);
  });

  it('grows with the work by the speeds that were measured', () => {
    const [one, ten] = [secondsOf(), secondsOf({...counts, train: 2000})];
    expect(ten['teacher']! - one['teacher']!).toBeCloseTo((2 * 1800) / 1000, 5);
    // Of a large pool it is the slower of network and decoders that counts; small ones have no trial of layouts.
    expect(secondsOf({...counts, pool: 1_000_000})['score']).toBeGreaterThan(200);
    expect(secondsOf({...counts, pool: 1_000_000, bytesAnImage: 1e6})['score']).toBeGreaterThan(30_000);
    expect(one['score']).toBeLessThan(3);
  });

  it('is not told where nothing was measured', () => {
    expect(Object.values(estimate(context, counts, null)).every(({seconds}) => seconds === null)).toBe(true);
  });
});
