import {readdirSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import path from 'node:path';
import {describe, expect, it} from 'vitest';
import {readExperiment} from '../../src/config/experiment.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const folder = fileURLToPath(new URL('../../experiments/', import.meta.url));

describe.each(readdirSync(folder).filter(name => name.endsWith('.yaml')))('experiments/%s', file => {
  const {name, about, arms, reference, runs} = readExperiment({file: path.join(folder, file)}, '/home');

  it('says what it is about, and begins with its reference', () => {
    expect(`${name}.yaml`).toBe(file);
    expect(about).toMatch(/^[^\n]{40,160}$/);
    expect(reference).toBe(arms[0]!.name);
  });

  it('has a run for each arm under each of at least three seeds, of which none is another’s', () => {
    for (const arm of arms)
      expect(new Set(runs.filter(run => run.arm === arm.name).map(({seed}) => seed)).size).toBeGreaterThanOrEqual(3);
    const settings = runs.map(({config}) => JSON.stringify({...config, run: '', about: ''}));
    expect(new Set(settings).size).toBe(runs.length);
  });

  it('is evaluated on the test set, and names its runs by arm and seed', () => {
    for (const {arm, seed, config} of runs) {
      expect(config.test).not.toBe(null);
      expect(config).toMatchObject({seed, run: `${name}.${arm}.seed${seed}`});
      expect(config.run).toMatch(new RegExp(`^${name}\\.[^.]+\\.seed${seed}$`));
    }
  });
});

it('keeps the arms in the order of the file, also where their names are numbers', async () => {
  const file = path.join(await temporaryFolder(), 'topk.yaml');
  await writeFile(
    file,
    'config: {labelled: a, unlabelled: [b]}\nseeds: [3, 1]\narms:\n  default:\n  400: {set: {select: {top_k: 400}}}\n  100: {set: {select: {top_k: 100}}}\n',
  );
  const {arms, reference, runs} = readExperiment({file}, '/home');
  expect([arms.map(({name}) => name), reference]).toEqual([['default', '400', '100'], 'default']);
  expect(runs.map(({arm, seed}) => `${arm} ${seed}`)).toEqual([
    'default 3',
    '400 3',
    '100 3',
    'default 1',
    '400 1',
    '100 1',
  ]);
});
