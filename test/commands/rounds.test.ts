import {existsSync, readFileSync, statSync} from 'node:fs';
import path from 'node:path';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {openStoreToRead} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {copyOf, doneOf, lastingFolder, look, outputOf, pupil, writeData, type Data} from './pupil.js';

const {folder, remove} = lastingFolder();
const finished = path.join(folder, 'home');
let data: Data;
let first: string;

beforeAll(async () => {
  data = await writeData(path.join(folder, 'data'), 30);
  first = await outputOf(['orchestrate', data.config, '--home', finished, '--json', '--set', 'rounds=2']);
});
afterAll(remove);

const aCopy = async () => copyOf(finished, path.join(await temporaryFolder(), 'home'));
const done = (stdout: string) =>
  JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as {
    rounds: {run: string; results: object; selection: object}[];
  };
const events = (stdout: string) =>
  stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as {type: string; stage?: string; part?: string; message?: string; run?: string});

/** What became of the stages of each round: those that ran, by run. */
function ran(stdout: string): Record<string, string[]> {
  const stages: Record<string, string[]> = {};
  let run = '';
  for (const event of events(stdout)) {
    if (event.type === 'started') stages[(run = event.run ?? '')] = [];
    if (event.type === 'stage_finished' || event.type === 'stage_skipped') stages[run]?.push(event.stage ?? '');
  }
  return stages;
}
const orchestrate = async (home: string, ...set: string[]) =>
  await look(['orchestrate', data.config, '--home', home, '--json', ...set.flatMap(setting => ['--set', setting])]);

describe('two rounds', () => {
  it('are two runs: the second takes what the first has made for it, and is taught by its student', () => {
    expect(ran(first)).toEqual({
      colours: [
        'prepare',
        'teacher',
        'export',
        'score',
        'select',
        'pretrain',
        'finetune',
        'baseline',
        'evaluate',
        'report',
      ],
      // Its selection is that of the first, and so is what is learned from it.
      'colours.round2': ['teacher', 'export', 'score', 'select', 'evaluate', 'report'],
    });
    const student = path.join(finished, 'models/colours/student/model.safetensors');
    expect(readFileSync(path.join(finished, 'models/colours.round2/teacher/model.safetensors'))).toEqual(
      readFileSync(student),
    );
    const pack = (run: string) => statSync(path.join(finished, 'data', run, 'packs/train/images.u8')).ino;
    expect(pack('colours.round2')).toBe(pack('colours'));
  });

  it('end with the results of the last, and those of each', () => {
    const perfect = {top1: 1, top5: 1};
    const results = {teacher: perfect, supervised: perfect, student_pretrained: perfect, student: perfect};
    expect(doneOf(first)).toMatchObject({run: 'colours.round2', results});
    expect(done(first).rounds).toMatchObject([
      {run: 'colours', results},
      {run: 'colours.round2', results, selection: {top_k: 5}},
    ]);
  });

  it('train the equal-step baseline once: its steps and data are the same', () => {
    const baselines = events(first).filter(({type, stage}) => type === 'step' && stage === 'baseline');
    const store = openStoreToRead(path.join(finished, 'db/colours.sqlite'))!;
    expect(baselines).toHaveLength(store.events.of('baseline', 'step').length);
    store.close();
    const weights = (run: string) =>
      readFileSync(path.join(finished, 'models', run, 'supervised/model.safetensors'), 'utf8');
    expect(weights('colours.round2')).toBe(weights('colours'));
  });

  it('have nothing to do the second time', async () => {
    expect(ran(await orchestrate(await aCopy(), 'rounds=2'))).toEqual({colours: [], 'colours.round2': []});
  });

  it('become three with the third alone, and one without touching the others', async () => {
    const home = await aCopy();
    const third = ran(await orchestrate(home, 'rounds=3'));
    expect(third).toEqual({colours: [], 'colours.round2': [], 'colours.round3': ['report']});
    expect(done(await orchestrate(home)).rounds.map(({run}) => run)).toEqual(['colours']);
    expect(existsSync(path.join(home, 'db/colours.round3.sqlite'))).toBe(true);
  });

  it('follow each other: another K in the first is another teacher for the second', async () => {
    const again = ran(await orchestrate(await aCopy(), 'rounds=2', 'select.top_k=4'));
    expect(again['colours']).toEqual(['select', 'pretrain', 'finetune', 'evaluate', 'report']);
    expect(again['colours.round2']?.slice(0, 4)).toEqual(['teacher', 'export', 'score', 'select']);
  });

  it('with a part asked for are the first alone', async () => {
    expect(
      ran(
        await look([
          'orchestrate',
          data.config,
          '--home',
          await aCopy(),
          '--json',
          '--set',
          'rounds=2',
          '--only',
          'select',
        ]),
      ),
    ).toEqual({colours: ['select']});
  });
});

it('a round that was stopped goes on, and those before it are not touched', async () => {
  const home = await aCopy();
  const command = ['orchestrate', data.config, '--home', home, '--set', 'rounds=2', '--set', 'score.shard_size=1'];
  await outputOf([...command, '--set', 'rounds=1']);
  expect(await pupil(command, {env: {PUPIL_FAIL_POINT: 'shard.after-record:3'}})).toMatchObject({signal: 'SIGKILL'});
  const {code, stderr} = await pupil(command);
  expect(code).toBe(0);
  expect(stderr).toMatch(/^ {2}score {5}[1-9]\d* of \d+ images are scored already$/m);
  expect(stderr.slice(0, stderr.indexOf('pupil colours.round2')).match(/^= .* fresh: nothing changed$/gm)).toHaveLength(
    10,
  );
});

it('a dry run tells what the rounds would do', async () => {
  const home = await aCopy();
  const dry = async (...set: string[]) =>
    (
      await look([
        'orchestrate',
        data.config,
        '--home',
        home,
        '--dry-run',
        ...set.flatMap(setting => ['--set', setting]),
      ])
    ).split('\n');
  const both = await dry('rounds=2');
  expect(both.filter(line => /^Run colours/.test(line))).toHaveLength(2);
  expect(both.filter(line => /fresh +nothing changed/.test(line))).toHaveLength(19);
  expect(await dry('rounds=3', 'select.top_k=4')).toContain(
    'Then colours.round2, colours.round3, each with the student before as its teacher: every stage but prepare would run.',
  );
});

it.each([['status'], ['rankings'], ['rankings', 'red'], ['report']])(
  'pupil %s %s names the other rounds, beside what it was asked for',
  async (...command) => {
    const home = await aCopy();
    const {stdout, stderr} = await pupil([...command, '--home', home, '--run', 'colours']);
    expect(stderr.trimEnd().split('\n').at(-1)).toBe(
      'Round 1 of 2; the other: --run colours.round2; side by side: pupil compare colours colours.round2',
    );
    expect(stdout).not.toContain('Round');
  },
);

it('a run that is only called like a round is none', async () => {
  const home = await aCopy();
  await look(['orchestrate', data.config, '--home', home, '--run', 'colours.round7', '--until', 'prepare']);
  const {stderr} = await pupil(['status', '--home', home, '--run', 'colours']);
  expect(stderr).toContain('Round 1 of 2; the other: --run colours.round2;');
  expect((await pupil(['status', '--home', home, '--run', 'colours.round7'])).stderr).not.toContain('Round');
});

it('pupil compare puts two rounds side by side', async () => {
  const text = await look(['compare', 'colours', 'colours.round2', '--home', finished]);
  expect(text).toMatch(/^student top-1 +100\.0 % +100\.0 %$/m);
  expect(text).toMatch(/^teacher\.file +null .*models\/colours\/student\/model\.safetensors$/m);
});
