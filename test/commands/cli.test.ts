import {spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {z} from 'zod';
import {runCommandLine} from '../../src/cli.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {colourTrainer, outputOf, program, pupil} from './pupil.js';

const commands = [
  'orchestrate',
  'fetch',
  'status',
  'rankings',
  'why',
  'report',
  'predict',
  'doctor',
  'runs',
  'compare',
  'demo',
  'setup',
  'pool',
  'verify',
  'rm',
];
const stop = {requested: new AbortController().signal, forced: new AbortController().signal};
const {version} = z
  .object({version: z.string()})
  .parse(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')));

describe('help', () => {
  it('lists every command and fits in 80 columns', async () => {
    const help = await outputOf(['--help']);
    for (const command of commands) expect(help).toMatch(new RegExp(`^  pupil ${command}\\b`, 'm'));
    expect(Math.max(...help.split('\n').map(line => line.length))).toBeLessThanOrEqual(80);
  });

  it('of orchestrate names the presets and fits, too', async () => {
    const help = await outputOf(['orchestrate', '--help']);
    expect(help).toContain('cifar100, cifar100-cpu, demo, imagenet');
    expect(Math.max(...help.split('\n').map(line => line.length))).toBeLessThanOrEqual(80);
  });

  it('tells the version', async () => expect(await outputOf(['--version'])).toBe(`${version}\n`));
});

describe('arguments that make no sense are refused (exit 2)', () => {
  it.each([
    ['no command', [], 'Name a command. See pupil --help.'],
    ['an unknown command', ['stauts'], 'There is no command "stauts". Did you mean status? See pupil --help.'],
    [
      'an unknown flag',
      ['status', '--jsn'],
      'pupil status has no flag --jsn. Did you mean --json? See pupil status --help.',
    ],
    [
      'an argument too many',
      ['status', 'birds'],
      'pupil status takes no argument "birds" here. See pupil status --help.',
    ],
    [
      'an unknown stage',
      ['orchestrate', '--from', 'scroe'],
      /^--from is "scroe"; expected a stage: prepare, .*\. Did you mean score\?$/,
    ],
    [
      '--only with --from',
      ['orchestrate', '--only', 'score', '--from', 'score'],
      '--only score runs that stage alone, so --from score says nothing beside it. Give one of the two.',
    ],
    [
      '--from after --until',
      ['orchestrate', '--from', 'select', '--until', 'score'],
      /^--from select --until score: select comes after score, so nothing would run\./,
    ],
    ['a flag without its value', ['status', '--home'], '--home needs a value. See pupil status --help.'],
    ['--set without its value', ['orchestrate', '--set'], '--set needs a value. See pupil orchestrate --help.'],
    ['a flag given twice', ['status', '--run', 'a', '--run', 'b'], '--run was given more than once.'],
    ['--home given twice', ['status', '--home', 'a', '--home', 'b'], '--home was given more than once.'],
    ['a number that is none', ['rankings', '-n', 'ten'], '-n is "ten"; expected a whole number of at least 1.'],
    [
      'a number below the least',
      ['predict', 'a.jpg', '--top', '0'],
      '--top is 0; expected a whole number of at least 1.',
    ],
    ['a negative number', ['rankings', '-n', '-5'], '-n is -5; expected a whole number of at least 1.'],
    ['a negative offset', ['rankings', '--offset', '-1'], '--offset is -1; expected a whole number.'],
    ['--csv with --json', ['rankings', '--csv', '--json'], 'Give --csv or --json, not both.'],
    [
      'an empty value, as of a variable that was never set',
      ['orchestrate', '--labelled', '/a', '--unlabelled', ''],
      '--unlabelled is given as nothing (""). Expected a value, or leave it out.',
    ],
    ['an empty home', ['status', '--home', ''], '--home is given as nothing (""). Expected a value, or leave it out.'],
    [
      'a home whose path SQLite cannot open',
      ['status', '--home', `/tmp/${'a/'.repeat(200)}a`],
      /^The home \/tmp\/a.* is too long a path: SQLite opens no file whose path has more than 512 bytes\. Choose one of 400 at most/,
    ],
    [
      'a home whose name is no UTF-8',
      ['orchestrate', '--labelled', '/a', '--home', '/tmp/h\ufffd'],
      /^The name of the folder \/tmp\/h\ufffd is no UTF-8, and cannot be a home\./,
    ],
    [
      'pictures larger than any network sees',
      ['orchestrate', '--labelled', '/a', '--unlabelled', '/b', '--set', 'image.size=60000'],
      /image\.size is 60000; expected/,
    ],
    ['an empty argument', ['why', ''], '--image is given as nothing (""). Expected a value, or leave it out.'],
    [
      'an empty key',
      ['orchestrate', '--labelled', '/a', '--set', 'unlabelled=[""]'],
      '--set unlabelled=[""] unlabelled.0 is ""; expected a path.',
    ],
    [
      'a key that objects have of themselves',
      ['orchestrate', '--labelled', '/a', '--unlabelled', '/b', '--set', '__proto__.seed=5'],
      '--set __proto__.seed=5 unknown key __proto__.seed. Did you mean seed?',
    ],
    [
      'more threads than anybody has',
      ['orchestrate', '--labelled', '/a', '--unlabelled', '/b', '--set', 'limits.threads=100000000'],
      '--set limits.threads=100000000 limits.threads is 100000000; expected at most 1024.',
    ],
    ['a missing argument', ['why'], 'pupil why needs <image>. See pupil why --help.'],
    [
      'a preset that is not there',
      ['orchestrate', '--preset', 'cifar'],
      /^There is no preset "cifar"\. Presets: cifar100, cifar100-cpu, demo, imagenet\. Did you mean cifar100\?$/,
    ],
    ['no pictures', ['orchestrate'], /^2 mistakes in the configuration:\n {2}No labelled pictures/],
    [
      'pictures that are not there',
      ['orchestrate', '--labelled', '/nowhere/a', '--unlabelled', '/nowhere/b'],
      /^"\/nowhere\/a" cannot be opened: there is nothing at \/nowhere\/a\./,
    ],
  ])('%s', async (_, args, message) => {
    const refused: unknown = await runCommandLine(args, stop).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      name: 'UserError',
      exitCode: 2,
      message: typeof message === 'string' ? message : (expect.stringMatching(message) as string),
    });
  });

  it.each([
    [['status', '--', 'foo'], 'pupil status takes no argument "foo" here. See pupil status --help.'],
    [['fetch', '--', '-x'], 'There is no data set "-x". Data sets: cifar10, cifar100, tiny-imagenet.'],
    [['fetch', '-'], 'There is no data set "-". Data sets: cifar10, cifar100, tiny-imagenet.'],
    [['compare', '--', '-a'], 'pupil compare needs <a> <b>. See pupil compare --help.'],
    [
      ['orchestrate', '--labelled', '/a', '--unlabelled', '/b', '--', '-config.yaml'],
      /^There is no config file -config\.yaml\./,
    ],
  ])('%j: what stands behind -- counts like any other argument', async (args, message) => {
    const refused: unknown = await runCommandLine(args, stop).catch((error: unknown) => error);
    expect(refused).toMatchObject({
      exitCode: 2,
      message: typeof message === 'string' ? message : (expect.stringMatching(message) as string),
    });
  });

  it('and told on stdout, too, to a script that reads a run there', async () => {
    const {code, stdout, stderr} = await pupil([
      'orchestrate',
      '--json',
      '--labelled',
      '/a',
      '--unlabelled',
      '/b',
      '--set',
      'sed=1',
    ]);
    const message = '--set sed=1 unknown key sed. Did you mean seed?';
    expect([code, stderr, JSON.parse(stdout)]).toEqual([
      2,
      `${message}\n`,
      {type: 'failed', exit_code: 2, code: 'BAD_CONFIG', message},
    ]);
  });

  it('with nothing but the message on stderr', async () => {
    expect(await pupil(['orchestra'])).toEqual({
      code: 2,
      signal: null,
      stdout: '',
      stderr: 'There is no command "orchestra". Did you mean orchestrate? See pupil --help.\n',
    });
  });
});

describe('a home', () => {
  it('that is not there is refused by what only looks, and made by a run where the folder around it is there', async () => {
    const home = `${await temporaryFolder()}/home`;
    await expect(runCommandLine(['status', '--home', home], stop)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining(`There is no folder ${home}`) as string,
    });
    await expect(runCommandLine(['orchestrate', '--home', `${home}/deeper`], stop)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining(`mkdir -p ${home}/deeper`) as string,
    });
    await expect(runCommandLine(['orchestrate', '--home', home], stop)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('No labelled pictures') as string,
    });
  });
});

it('a temporary folder that is not there is named (exit 4)', async () => {
  const {code, stderr} = await pupil(['doctor'], {env: {TMPDIR: '/nowhere/tmp'}});
  expect([code, stderr]).toEqual([
    4,
    expect.stringMatching(
      /^No temporary folder can be made in \/nowhere\/tmp \(ENOENT.*\)\. Make that folder, or name another in TMPDIR\.\n$/,
    ),
  ]);
});

describe('a home without runs', () => {
  it.each([['status'], ['rankings'], ['why', 'abc'], ['report'], ['predict', 'a.png']])(
    'has nothing for %s, and says how to start (exit 2)',
    async (...args) => {
      const home = await temporaryFolder();
      await expect(runCommandLine([...args, '--home', home], stop)).rejects.toMatchObject({
        exitCode: 2,
        message: `There is no run in ${home}. Start one with pupil orchestrate, or name its home with --home DIR.`,
      });
    },
  );

  it('lists none', async () => {
    const home = await temporaryFolder();
    expect(await outputOf(['runs', '--home', home])).toBe(
      `No runs in ${home} yet. Start one with pupil orchestrate.\n`,
    );
    expect(JSON.parse(await outputOf(['runs', '--home', home, '--json']))).toEqual({home, runs: []});
  });
});

describe('pupil doctor', () => {
  const checked = z.object({
    ok: z.boolean(),
    checks: z.array(z.object({name: z.string(), ok: z.boolean(), found: z.string(), fix: z.string()})),
  });

  it('proves Node, SQLite, onnxruntime, Python, training, the disk and the memory', async () => {
    const home = await temporaryFolder();
    const {checks} = checked.parse(JSON.parse((await pupil(['doctor', '--home', home, '--json'])).stdout));
    expect(checks.map(({name}) => name)).toEqual([
      'node',
      'sqlite',
      'onnxruntime',
      'python',
      'training',
      'processes',
      'disk',
      'memory',
    ]);
    expect(checks.filter(({name}) => name !== 'disk').every(({ok}) => ok)).toBe(true);
    expect(checks.find(({name}) => name === 'python')?.found).toBe(
      `torch 2.13.0, no python at ${colourTrainer} (from PUPIL_PYTHON)`,
    );
  });

  it('ends with exit 4 where it found a fault, and names the command that mends it', async () => {
    const home = await temporaryFolder();
    const {code, stdout, stderr} = await pupil(['doctor', '--home', home], {env: {PUPIL_PYTHON: '/nowhere/python'}});
    expect(code).toBe(4);
    expect(stdout).toMatch(
      /^FAULT python +There is no Python at \/nowhere\/python .*\n +mend it with: cd \S+ && npm run setup$/m,
    );
    expect(stderr).toMatch(/ of \d checks found a fault\.\n$/);
  });
});

describe('a reader that closes the pipe', () => {
  it.each([
    ['stdout', '"$0" "$1" --help | true; echo "${PIPESTATUS[0]}"'],
    ['stdout and stderr', '"$0" "$1" orchestra 2>&1 | true; echo "${PIPESTATUS[0]}"'],
  ])('of %s ends the command quietly', (_, script) => {
    const {stdout, stderr} = spawnSync('bash', ['-c', script, process.execPath, program], {encoding: 'utf8'});
    expect(stderr).toBe('');
    expect(['0\n', '2\n']).toContain(stdout);
  });
});
