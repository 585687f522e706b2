import {readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import path from 'node:path';
import {describe, expect, it} from 'vitest';
import {experimentOf, readExperiment} from '../src/experiment.js';

const folder = fileURLToPath(new URL('../experiments/', import.meta.url));

describe.each(readdirSync(folder))('experiments/%s', file => {
  const {name, about, arms, reference, runs} = readExperiment({file: path.join(folder, file)}, '/home');

  it('says what it is about, and begins with its reference', () => {
    expect(`${name}.yaml`).toBe(file);
    expect(about).toMatch(/^[^\n]{40,160}$/);
    expect(reference).toBe(arms[0]!.name);
  });

  it('has a run for each arm under each of at least three seeds, of which none is another’s', () => {
    for (const arm of arms) expect(new Set(runs.filter(run => run.arm === arm.name).map(({seed}) => seed)).size).toBeGreaterThanOrEqual(3);
    const settings = runs.map(({config}) => JSON.stringify({...config, run: '', about: ''}));
    expect(new Set(settings).size).toBe(runs.length);
  });

  it('is evaluated on the test set, and names its runs by arm and seed', () => {
    for (const {arm, seed, config} of runs) {
      expect(config.test).not.toBe(null);
      expect(config).toMatchObject({seed, run: `${name}.${arm}.seed${seed}`});
      expect(experimentOf(config.run)).toEqual({experiment: name, seed});
    }
  });
});

it('knows a run of an experiment by its name', () => {
  expect(experimentOf('a.b.arm.seed12.round2')).toEqual({experiment: 'a.b', seed: 12});
  expect(['demo', 'demo.round2', 'demo.seed1', 'x.arm.seed'].map(experimentOf)).toEqual([null, null, null, null]);
});
