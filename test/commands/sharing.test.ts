import {statSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {temporaryFolder} from '../images/temporary-folder.js';
import {lastingFolder, look, outputOf, startPupil, statusOf, writeData, type Data} from './pupil.js';

const {folder, remove} = lastingFolder();
let data: Data;
beforeAll(async () => {
  data = await writeData(path.join(folder, 'data'), 18);
});
afterAll(remove);

const newHome = async () => path.join(await temporaryFolder(), 'home');
const command = (home: string, ...args: string[]) => ['orchestrate', data.config, '--home', home, ...args];
const slow = {env: {PUPIL_COLOUR_TRAINER_EPOCH_MS: '300'}};
const stepsOf = (output: string, stage: string): number =>
  output
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as {type: string; stage?: string})
    .filter(event => event.type === 'step' && event.stage === stage).length;
const inode = (home: string, run: string) => statSync(path.join(home, `models/${run}/teacher/model.safetensors`)).ino;

it('a run that has its teacher, and an experiment of three arms, train it once between them', async () => {
  const home = await newHome();
  const first = await look(command(home, '--json'));
  expect(stepsOf(first, 'teacher')).toBeGreaterThan(0);
  const file = path.join(path.dirname(data.config), 'three.yaml');
  writeFileSync(
    file,
    `config:
  labelled: train
  unlabelled: pool
  test: test
  image: {size: 16}
  teacher: {epochs: 2}
  pretrain: {epochs: 2}
  finetune: {epochs: 2}
  score: {shard_size: 8, batch_size: 4}
  select: {top_p: 2, top_k: 5}
arms:
  as-before: {}
  fewer: {set: {select: {top_k: 3}}}
  longer: {set: {pretrain: {epochs: 3}}}
`,
  );
  const arms = await look(['experiment', file, '--home', home, '--json']);
  expect(stepsOf(arms, 'teacher')).toBe(0);
  for (const arm of ['as-before', 'fewer', 'longer'])
    expect(inode(home, `three.${arm}.seed0`)).toBe(inode(home, 'colours'));
});

describe('two runs at once that need the same', () => {
  it('make it once: the one that comes later waits, and takes it', async () => {
    const home = await newHome();
    const first = startPupil(command(home, '--set', 'teacher.epochs=12'), slow);
    await first.said('> teacher');
    const second = startPupil(command(home, '--run', 'other', '--set', 'teacher.epochs=12', '--until', 'export'), slow);
    await second.said('teacher   waiting for colours, which is making just this');
    await second.said('teacher   taken as colours has made it');
    expect((await second.ended).code).toBe(0);
    expect((await first.ended).code).toBe(0);
    expect(inode(home, 'other')).toBe(inode(home, 'colours'));
  });

  it('make it once also where they begin together', async () => {
    const home = await newHome();
    const both = await Promise.all(
      ['one', 'two', 'three'].map(run => outputOf(command(home, '--run', run, '--until', 'export', '--json'), slow)),
    );
    expect(both.map(output => stepsOf(output, 'teacher') > 0).filter(Boolean)).toHaveLength(1);
  });

  it('go on where the first does not come to its end', async () => {
    const home = await newHome();
    const first = startPupil(command(home, '--set', 'teacher.epochs=1000'), slow);
    await first.said('> teacher');
    const second = startPupil(command(home, '--run', 'other', '--set', 'teacher.epochs=1000'), slow);
    await second.said('waiting for colours');
    first.child.kill('SIGKILL');
    await second.said('> teacher');
    second.child.kill('SIGINT');
    expect((await second.ended).code).toBe(130);
  });

  it('stop while they wait when they are asked to', async () => {
    const home = await newHome();
    const first = startPupil(command(home, '--set', 'teacher.epochs=1000'), slow);
    await first.said('> teacher');
    const second = startPupil(command(home, '--run', 'other', '--set', 'teacher.epochs=1000'), slow);
    await second.said('waiting for colours');
    second.child.kill('SIGINT');
    expect((await second.ended).code).toBe(130);
    expect((await statusOf(home, '--run', 'other')).stages[0]).toMatchObject({name: 'prepare', status: 'fresh'});
  });
});
