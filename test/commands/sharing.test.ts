import {mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import {afterAll, beforeAll, describe, expect, it, onTestFinished} from 'vitest';
import {readingsOf} from '../../src/stages/curves.js';
import {openStoreToRead} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {
  experimentConfig,
  lastingFolder,
  look,
  outputOf,
  picture,
  pupil,
  startPupil,
  statusOf,
  writeData,
  type Data,
} from './pupil.js';

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
    `${experimentConfig}arms:
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

describe('a file that was damaged in place', () => {
  const damage = (home: string, file: string) => {
    const place = path.join(home, file);
    const bytes = readFileSync(place);
    bytes[0]! ^= 1;
    writeFileSync(place, bytes);
  };
  it('is made anew, though what is kept is the same file; and nothing damaged stays', async () => {
    const home = await newHome();
    await look(command(home, '--json'));
    damage(home, 'models/colours/student/model.safetensors');
    damage(home, 'data/colours/scores/shard-00001.parquet');
    const again = await outputOf(command(home));
    expect(again).not.toContain('bug');
    expect((await statusOf(home)).stages.every(({status}) => status === 'fresh')).toBe(true);
    expect((await pupil(['verify', '--home', home])).code).toBe(0);
  });

  it('costs one shard where it is one', async () => {
    const home = await newHome();
    await look(command(home, '--json'));
    damage(home, 'data/colours/scores/shard-00001.parquet');
    expect((await pupil(command(home))).stderr).toContain('10 of 18 images are scored already');
  });
});

it('a file of somebody else beside the scores stays where scores are taken, and no shard of before does', async () => {
  const home = await newHome();
  await look(command(home, '--set', 'score.shard_size=2', '--until', 'score', '--json'));
  const notes = path.join(home, 'data/colours/scores/notes.parquet');
  writeFileSync(notes, 'mine');
  await look(command(home, '--run', 'other', '--until', 'score', '--json'));
  await look(command(home, '--until', 'score', '--json'));
  expect(readdirSync(path.dirname(notes))).toEqual([
    'notes.parquet',
    ...[0, 1, 2].map(number => `shard-0000${number}.parquet`),
  ]);
});

describe('a run that goes on from what another has', () => {
  it('lists pictures that were too large for the other', async () => {
    const home = await newHome();
    const large = path.join(data.folder, 'pool/large.png');
    let state = 1;
    const noise = Buffer.from(
      Array.from({length: 800 * 800 * 3}, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24),
    );
    await sharp(noise, {raw: {width: 800, height: 800, channels: 3}})
      .png()
      .toFile(large);
    onTestFinished(() => rmSync(large));
    expect(statSync(large).size).toBeGreaterThan(1_000_000);
    await look(command(home, '--set', 'limits.max_file_mb=1', '--max-failures', '0.5', '--until', 'prepare', '--json'));
    const images = async (run: string) =>
      (JSON.parse(await look(['pool', '--home', home, '--run', run, '--json'])) as {images: number}).images;
    expect(await images('colours')).toBe(18);
    await look(command(home, '--run', 'other', '--until', 'prepare', '--json'));
    expect(await images('other')).toBe(19);
    // Nor does it matter to one run that it had another limit before.
    await look(command(home, '--until', 'prepare', '--json'));
    expect(await images('colours')).toBe(19);
  });

  it('takes the scores of the pool that has most in common with its own, and no shard beside it', async () => {
    const home = await newHome();
    await look(command(home, '--until', 'score', '--json'));
    const few = path.join(folder, 'few');
    for (const number of [0, 1, 2]) {
      mkdirSync(few, {recursive: true});
      writeFileSync(path.join(few, `${number}.png`), await picture('red', 900 + number));
    }
    const alone = await pupil(command(home, '--run', 'alone', '--unlabelled', few, '--until', 'score'));
    expect(alone.stderr).not.toContain('are scored already');
    expect(readdirSync(path.join(home, 'data/alone/scores'))).toHaveLength(1);
    const both = await pupil(
      command(
        home,
        '--run',
        'both',
        '--unlabelled',
        path.join(data.folder, 'pool'),
        '--unlabelled',
        few,
        '--until',
        'score',
      ),
    );
    expect(both.stderr).toContain('score goes on from what colours has');
    expect(both.stderr).toContain('18 of 21 images are scored already');
  });

  it('tells before how much it would score', async () => {
    const home = await newHome();
    await look(command(home, '--until', 'score', '--json'));
    await look(command(home, '--run', 'other', '--until', 'score', '--json'));
    const added = path.join(data.folder, 'pool/added.png');
    writeFileSync(added, await picture('red', 950));
    onTestFinished(() => rmSync(added));
    const {stages} = await statusOf(home, '--run', 'other');
    expect(stages.find(({name}) => name === 'score')?.reason).toBe('1 of 19 pictures is new');
  });
});

describe('a training that is taken', () => {
  it('has its own curve in the report, not that of an earlier one', async () => {
    const home = await newHome();
    await look(command(home, '--set', 'pretrain.learning_rate=0.011', '--json'));
    // As many steps as the student has in both its trainings.
    await look(command(home, '--set', 'teacher.epochs=4', '--set', 'pretrain.epochs=2', '--json'));
    const store = openStoreToRead(path.join(home, 'db/colours.sqlite'))!;
    onTestFinished(() => store.close());
    const [teacher, baseline] = (['teacher', 'baseline'] as const).map(stage => readingsOf(store, stage, ''));
    expect(baseline!.evaluations.map(({epoch, top1}) => [epoch, top1])).toEqual(
      teacher!.evaluations.map(({epoch, top1}) => [epoch, top1]),
    );
    expect(baseline!.steps.map(({lr}) => lr)).toEqual(teacher!.steps.map(({lr}) => lr));
  });
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
