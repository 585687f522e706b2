import {existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {openStoreToRead} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {
  copyOf,
  lastingFolder,
  look,
  outputOf,
  picture,
  pupil,
  startPupil,
  writeData,
  experimentConfig,
} from './pupil.js';

const {folder, remove} = lastingFolder();
const finished = path.join(folder, 'home');
let file: string;
let first: string;

/** Writes an experiment beside the data. */
function experiment(name: string, text: string): string {
  const written = path.join(folder, 'data', `${name}.yaml`);
  writeFileSync(written, text);
  return written;
}

beforeAll(async () => {
  await writeData(path.join(folder, 'data'), 30);
  file = experiment(
    'colours-by-k',
    `about: does K matter to three colours?
seeds: [0, 1]
${experimentConfig}arms:
  k5:
  k4: {about: one picture fewer, set: {select: {top_k: 4}}}
  twice: {set: {rounds: 2}, seeds: [1]}
`,
  );
  first = await outputOf(['experiment', file, '--home', finished, '--json']);
});
afterAll(remove);

interface Line {
  type: string;
  run?: string;
  stage?: string;
  part?: string;
  message?: string;
  position?: number;
  total?: number;
  seconds_left?: number | null;
}
const lines = (stdout: string) =>
  stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Line);
/** Of each run, in order, the stages that ran. */
function ran(stdout: string): [string, string[]][] {
  const runs: [string, string[]][] = [];
  for (const event of lines(stdout)) {
    if (event.type === 'started') runs.push([event.run ?? '', []]);
    if (event.type === 'stage_finished' || event.type === 'stage_skipped') runs.at(-1)![1].push(event.stage ?? '');
  }
  return runs;
}
const results = (stdout: string) => JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
const all = [
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
];
const aCopy = async () => copyOf(finished, path.join(await temporaryFolder(), 'home'));

describe('arms and seeds', () => {
  it('are runs of their own, seed by seed, and what arms of a seed share is done once', () => {
    expect(ran(first)).toEqual([
      ['colours-by-k.k5.seed0', all],
      ['colours-by-k.k4.seed0', ['select', 'pretrain', 'finetune', 'evaluate', 'report']],
      ['colours-by-k.k5.seed1', all],
      ['colours-by-k.k4.seed1', ['select', 'pretrain', 'finetune', 'evaluate', 'report']],
      ['colours-by-k.twice.seed1', ['report']],
      [
        'colours-by-k.twice.seed1.round2',
        // Its selection is that of the first round, and so is what is learned from it.
        ['teacher', 'export', 'score', 'select', 'evaluate', 'report'],
      ],
    ]);
  });

  it('train the equal-step baseline once a seed, where steps and settings agree', () => {
    const baselines = lines(first).filter(({type, stage}) => type === 'step' && stage === 'baseline');
    const store = openStoreToRead(path.join(finished, 'db/colours-by-k.k5.seed0.sqlite'))!;
    const once = store.events.of('baseline', 'step').length;
    store.close();
    expect(once).toBeGreaterThan(0);
    expect(baselines).toHaveLength(2 * once);
  });

  it('share their files', () => {
    const of = (run: string) =>
      statSync(path.join(finished, `models/colours-by-k.${run}/teacher/model.safetensors`)).ino;
    expect(of('k4.seed0')).toBe(of('k5.seed0'));
    expect(of('k5.seed1')).not.toBe(of('k5.seed0'));
  });

  it('tell which run of how many it is, and the time that is left by what the others took', () => {
    const told = lines(first).filter(({type}) => type === 'run_started');
    expect(told.map(({run, position, total}) => [run, position, total])).toEqual([
      ['colours-by-k.k5.seed0', 1, 5],
      ['colours-by-k.k4.seed0', 2, 5],
      ['colours-by-k.k5.seed1', 3, 5],
      ['colours-by-k.k4.seed1', 4, 5],
      ['colours-by-k.twice.seed1', 5, 5],
    ]);
    expect(told[0]!.seconds_left).toBe(null);
    expect(told.slice(1).every(({seconds_left: left}) => typeof left === 'number' && left > 0)).toBe(true);
  });

  it('have nothing to do the second time, and no Python is started', async () => {
    const {code, stdout, stderr} = await pupil(['experiment', file, '--home', finished], {
      env: {PUPIL_PYTHON: '/nowhere/python'},
    });
    expect(stderr.trimEnd().split('\n')).toEqual([
      '[1 of 5] colours-by-k.k5.seed0',
      '[2 of 5] colours-by-k.k4.seed0',
      '[3 of 5] colours-by-k.k5.seed1',
      '[4 of 5] colours-by-k.k4.seed1',
      '[5 of 5] colours-by-k.twice.seed1',
      'pupil colours-by-k.twice.seed1.round2 in ' + finished + ' on auto',
    ]);
    expect(code).toBe(0);
    expect(stdout.split('\n').every(line => line.length <= 80 || line.startsWith('Report: '))).toBe(true);
  });

  it('end at the first where there is no Python, and say so once', async () => {
    const {code, stderr} = await pupil(['experiment', file, '--home', path.join(folder, 'without-python')], {
      env: {PUPIL_PYTHON: '/nowhere/python'},
    });
    expect(stderr.match(/There is no Python at .*/g)).toEqual([
      'There is no Python at /nowhere/python (from PUPIL_PYTHON). Give the path of an interpreter that has torch 2.11 or newer.',
    ]);
    expect(code).toBe(4);
  });

  it('with another setting run what follows from it alone', async () => {
    const home = await aCopy();
    const changed = experiment(
      'changed',
      readFileSync(file, 'utf8')
        .replace('about:', 'experiment: colours-by-k\nabout:')
        .replace('{top_k: 4}', '{top_k: 3}'),
    );
    const again = ran(await look(['experiment', changed, '--home', home, '--json'])).filter(
      ([, stages]) => stages.length > 0,
    );
    expect(again).toEqual(
      [0, 1].map(seed => [`colours-by-k.k4.seed${seed}`, ['select', 'pretrain', 'finetune', 'evaluate', 'report']]),
    );
  });
});

it('another experiment in the same home takes what the runs of this one have made, whatever they are called', async () => {
  const home = await aCopy();
  writeFileSync(path.join(home, 'db/colours-by-k.k3.seed1.sqlite'), 'no database');
  const other = experiment('other', `${experimentConfig}seeds: [1, 7]\narms:\n  k4: {set: {select: {top_k: 4}}}\n`);
  const planned = JSON.parse(await look(['experiment', other, '--home', home, '--dry-run', '--json'])) as {
    runs: {stages: string[]}[];
  };
  expect(planned.runs.map(({stages}) => stages)).toEqual([['report'], all]);
  expect(ran(await look(['experiment', other, '--home', home, '--json']))).toEqual([
    ['other.k4.seed1', ['report']],
    ['other.k4.seed7', all],
  ]);
});

describe('the table', () => {
  it('ends the JSON, and lies beside the models as JSON, Markdown, CSV, SVG and a page', () => {
    const {type, runs, rows, missing, experiment: name, command} = results(first);
    expect([type, name, command, missing]).toEqual(['results', 'colours-by-k', `pupil experiment ${file}`, []]);
    expect(runs.map(({run}: {run: string}) => run)).toHaveLength(5);
    expect(
      rows.map(({arm, model, top1: {n}}: {arm: string | null; model: string; top1: {n: number}}) => [arm, model, n]),
    ).toEqual([
      [null, 'teacher', 2],
      [null, 'supervised', 2],
      ['k5', 'student_pretrained', 2],
      ['k5', 'student', 2],
      ['k4', 'student_pretrained', 2],
      ['k4', 'student', 2],
      ['twice', 'student_pretrained', 1],
      ['twice', 'student', 1],
    ]);
    const folder = path.join(finished, 'models/colours-by-k');
    expect(readdirSync(folder).sort()).toEqual(['plot.svg', 'table.csv', 'table.html', 'table.json', 'table.md']);
    expect(readFileSync(path.join(folder, 'table.md'), 'utf8')).toContain(
      '| **k4, fine-tuned** | 100.0 % | 0.0 | 2 | 0.0 (0.0 to 0.0) |',
    );
    expect(readFileSync(path.join(folder, 'table.csv'), 'utf8').split('\n')).toHaveLength(10);
    expect(readFileSync(path.join(folder, 'plot.svg'), 'utf8')).toMatch(
      /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" /,
    );
    expect(readFileSync(path.join(folder, 'table.html'), 'utf8')).toContain(
      '<a href="../colours-by-k.k4.seed1/report.html">',
    );
  });

  it('counts a student’s steps over all its rounds', () => {
    const {runs} = results(first) as {runs: {run: string; steps: Record<string, number>}[]};
    const steps = (run: string) => runs.find(other => other.run === `colours-by-k.${run}`)!.steps;
    expect(steps('twice.seed1')['student']).toBe(2 * steps('k5.seed1')['student']!);
    expect(steps('twice.seed1')['teacher']).toBe(steps('k5.seed1')['student']);
  });

  it('is in the report of each of its runs, and rounds are side by side in that of the last', async () => {
    const home = await aCopy();
    const report = async (run: string) =>
      readFileSync((await look(['report', '--home', home, '--run', run])).trim(), 'utf8');
    const ofOne = await report('colours-by-k.k4.seed0');
    expect(ofOne).toContain('<h2>Experiment colours-by-k</h2>');
    expect(ofOne).toContain('<svg class="arms"');
    expect(ofOne).not.toContain('<section id="rounds">');
    const ofRound = await report('colours-by-k.twice.seed1.round2');
    expect(ofRound).toContain('<section id="rounds">');
    expect(ofRound).toContain('<h2>Experiment colours-by-k</h2>');

    const table = path.join(home, 'models/colours-by-k/table.json');
    writeFileSync(table, readFileSync(table).subarray(0, 100));
    const {code, stderr} = await pupil(['report', '--home', home, '--run', 'colours-by-k.k4.seed0']);
    expect([code, stderr]).toEqual([4, expect.stringContaining(`${table} is not as pupil wrote it`)]);
  });
});

it('a run that fails does not hold up the others: it is told, missing in the table, and its exit code is the command’s', async () => {
  const home = path.join(await temporaryFolder(), 'home');
  const failing = experiment(
    'failing',
    `${experimentConfig}arms:\n  good:\n  cuda: {set: {device: cuda}}\n  k4: {set: {select: {top_k: 4}}}\n`,
  );
  const {code, stdout, stderr} = await pupil(['experiment', failing, '--home', home]);
  expect(code).toBe(4);
  expect(stderr).toContain('x failing.cuda.seed0 failed: There is no cuda:0');
  expect(stderr.trimEnd().split('\n').at(-1)).toBe(
    '1 of 3 runs failed, first failing.cuda.seed0. Mend it and run the same command again; what is done stays.',
  );
  expect(stdout).toMatch(/Missing:\n {2}failing\.cuda\.seed0: There is no cuda:0/);
  expect(stdout).toMatch(/^k4, fine-tuned +100\.0 %/m);
});

it('a killed experiment goes on where it was, and Ctrl-C once saves and stops it', async () => {
  const home = path.join(await temporaryFolder(), 'home');
  const slow = experiment(
    'slow',
    `${experimentConfig.replace('pretrain: {epochs: 2}', 'pretrain: {epochs: 30}')}arms:\n  k5:\n  k4: {set: {select: {top_k: 4}, evaluate: {baseline: false}}}\n`,
  );
  const command = ['experiment', slow, '--home', home];
  const env = {PUPIL_COLOUR_TRAINER_EPOCH_MS: '150'};
  const run = startPupil(command, {env});
  await run.said('score     taken as slow.k5.seed0 has made it');
  await run.said('> pretrain');
  await run.said('epoch 3, validation');
  run.child.kill('SIGKILL');
  expect(await run.ended).toMatchObject({signal: 'SIGKILL'});

  const again = startPupil(command, {env});
  await again.said('going on after epoch');
  await again.said('validation');
  again.child.kill('SIGINT');
  const stopped = await again.ended;
  expect(stopped.code).toBe(130);
  expect(stopped.stderr).toMatch(/Stopped\. What was done is saved; the same command goes on from here\.\n$/);

  const {code, stderr, stdout} = await pupil(command);
  expect(code).toBe(0);
  expect(stderr).toMatch(/^ {2}pretrain {2}going on after epoch ([4-9]|[1-9]\d)$/m);
  expect(stderr.match(/^> teacher/gm)).toBe(null);
  expect(stdout).toMatch(/^k4, fine-tuned/m);
});

describe('a dry run', () => {
  it('of a new experiment tells what each run would share, and writes nothing', async () => {
    const home = path.join(await temporaryFolder(), 'home');
    const {runs} = JSON.parse(await look(['experiment', file, '--home', home, '--dry-run', '--json'])) as {
      runs: {run: string; stages: string[]; seconds: number}[];
    };
    expect(runs.map(({run, stages}) => [run, stages])).toEqual([
      ['colours-by-k.k5.seed0', all],
      ['colours-by-k.k4.seed0', ['select', 'pretrain', 'finetune', 'baseline', 'evaluate', 'report']],
      ['colours-by-k.k5.seed1', all],
      ['colours-by-k.k4.seed1', ['select', 'pretrain', 'finetune', 'baseline', 'evaluate', 'report']],
      ['colours-by-k.twice.seed1', ['report']],
    ]);
    expect(runs.every(({seconds}) => seconds > 0)).toBe(true);
    expect(existsSync(home)).toBe(false);
  });

  it('of a finished one finds nothing to do', async () => {
    const text = await look(['experiment', file, '--home', finished, '--dry-run']);
    expect(text.match(/ +nothing$/gm)).toHaveLength(5);
    expect(text.trimEnd().split('\n').at(-1)).toBe('Nothing was written.');
  });
});

describe('a wrong file is refused with all its mistakes at once (exit 2)', () => {
  const refusal = async (text: string) => {
    const {code, stderr} = await pupil([
      'experiment',
      experiment('wrong', text),
      '--home',
      path.join(folder, 'no home'),
    ]);
    expect(code).toBe(2);
    return stderr
      .trimEnd()
      .replaceAll(path.join(folder, 'data') + path.sep, '')
      .split('\n')
      .map(line => line.trim());
  };

  it('those of its own keys', async () => {
    expect(await refusal(`seed: [1]\nseeds: [1, 1]\narms:\n  a.b: {sets: {}}\n  c: {seeds: []}\n`)).toEqual([
      '5 mistakes in the configuration:',
      'wrong.yaml:2 seeds is [1,1]; expected seeds of which none comes twice.',
      'wrong.yaml:4 unknown key arms.a.b.sets. Did you mean arms.NAME.set?',
      'wrong.yaml:5 arms.c.seeds is []; expected at least 1 entry.',
      'wrong.yaml:1 unknown key seed. Did you mean seeds?',
      'wrong.yaml:4 arms has "a.b"; expected a name of letters, digits, dashes and underscores, a letter or digit first.',
    ]);
  });

  it('a configuration of one run, which has no arms', async () => {
    expect(await refusal('labelled: train\n')).toEqual([
      expect.stringMatching(
        /^\S*wrong\.yaml has no arms, so it is no experiment\. .* A configuration of one run is run by {2}pupil orchestrate \S*wrong\.yaml$/,
      ),
    ]);
  });

  it('an arm or a key that is called as what objects come from', async () => {
    expect(await refusal(`${experimentConfig}arms:\n  one:\n  __proto__: {seeds: [3]}\n`)).toEqual([
      expect.stringContaining('arms has "__proto__"; expected a name of letters'),
    ]);
    expect(await refusal(`${experimentConfig}arms:\n  one: {set: {__proto__: {seed: 3}}}\n`)).toEqual([
      expect.stringContaining('unknown key __proto__'),
    ]);
  });

  it('those of every arm’s config, each once', async () => {
    expect(
      await refusal(
        `${experimentConfig.replace('top_k: 5', 'topk: 5')}reference: nobody\narms:\n  one: {set: {select: {top_p: 0}}}\n  two: {set: {run: mine, seed: 3}}\n`,
      ),
    ).toEqual([
      '5 mistakes in the configuration:',
      'wrong.yaml:12 reference is "nobody"; expected one of the arms: one, two.',
      'wrong.yaml:15 arms.two.set.run cannot be set: it comes of the key experiment and the name of the arm.',
      'wrong.yaml:15 arms.two.set.seed cannot be set: it comes of the key seeds.',
      'wrong.yaml:14 select.top_p is 0; expected more than 0.',
      'wrong.yaml:10 unknown key select.topk. Did you mean select.top_k?',
    ]);
  });

  it('a file that is not there, a preset that is not known, and no arms', async () => {
    const {code, stderr} = await pupil(['experiment', 'nowhere.yaml']);
    expect([code, stderr]).toEqual([2, 'There is no config file nowhere.yaml.\n']);
    expect(await refusal('preset: cifar10\narms: {}\n')).toEqual([
      '2 mistakes in the configuration:',
      expect.stringMatching(/^wrong\.yaml:1 preset is "cifar10"; expected one of cifar100, /),
      'wrong.yaml:2 arms is {}; expected at least one arm.',
    ]);
  });
});

it('is refused where its data changed, with what to do, and so is a dry run', async () => {
  const home = await aCopy();
  const tested = path.join(folder, 'data/test/blue/0.png');
  const before = readFileSync(tested);
  writeFileSync(tested, await picture('blue', 9999));
  try {
    const {code, stderr} = await pupil(['experiment', file, '--home', home]);
    expect(code).toBe(3);
    expect(stderr).toMatch(
      /colours-by-k\.k5\.seed0 failed: Run colours-by-k\.k5\.seed0 was made from other data:\n {2}.*0\.png has other contents\nNothing was touched\. Put the data back, or give the experiment another name\./,
    );
    const dry = await pupil(['experiment', file, '--home', home, '--dry-run']);
    expect([dry.code, dry.stderr]).toEqual([
      3,
      expect.stringMatching(
        /^Run colours-by-k\.k5\.seed0 was made from other data:\n {2}.*0\.png has other contents\n.*give the experiment another name\.\n$/,
      ),
    ]);
  } finally {
    writeFileSync(tested, before);
    rmSync(home, {recursive: true});
  }
});
