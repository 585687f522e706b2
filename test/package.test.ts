/**
 * What people get who install pupil by npm: packed from a clone where nothing is installed, put into an empty folder
 * with an empty HOME, set up and run there.
 */
import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {z} from 'zod';
import {colourTrainer, lastingFolder, writeData} from './commands/pupil.js';

const repository = fileURLToPath(new URL('..', import.meta.url));
const realPython = process.env['PUPIL_PYTHON'] ?? '';
const {folder, remove} = lastingFolder();
const clone = path.join(folder, 'clone');
const app = path.join(folder, 'app');
const home = path.join(folder, 'home');
const calls = path.join(folder, 'calls.jsonl');
const pupilPackage = path.join(app, 'node_modules', 'pupil');
/** Programs in place of npm and Python, which would take minutes; and no GPU. */
const fakes = path.join(folder, 'fakes');

const call = z.object({program: z.string(), args: z.array(z.string()), cuda: z.string().optional()});
const made = (): z.infer<typeof call>[] =>
  readFileSync(calls, 'utf8')
    .trim()
    .split('\n')
    .map(line => call.parse(JSON.parse(line)));

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

interface Options {
  cwd?: string;
  env?: Readonly<Record<string, string>>;
}

// What a run under npm leaves in the environment is nothing that a newcomer has.
const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|PUPIL_|XDG_)/i.test(name)));
async function run(file: string, args: readonly string[], {cwd = app, env = {}}: Options = {}): Promise<Ended> {
  const child = spawn(file, args, {cwd, stdio: ['ignore', 'pipe', 'pipe'], env: {...clean, NO_COLOR: '1', ...env}});
  const output = {stdout: '', stderr: ''};
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => (output[name] += text));
  const [status] = (await once(child, 'close')) as [number | null];
  return {status, ...output};
}
const pupil = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  run(path.join(app, 'node_modules', '.bin', 'pupil'), args, {env: {HOME: home, ...env}});
const faked = {
  FAKE_CALLS: calls,
  FAKE_NPM_INSTALLED: path.join(repository, 'node_modules'),
  PATH: `${fakes}${path.delimiter}${process.env['PATH'] ?? ''}`,
};

function mustEnd({status, stdout, stderr}: Ended): string {
  if (status !== 0) throw new Error(`It ended with ${status}:\n${stdout}${stderr}`);
  return stdout;
}

/** The clone as git has it, and in it what a user's work leaves there. */
function makeClone(): void {
  for (const name of [
    'src',
    'trainer',
    'scripts',
    'db/migrations',
    'presets',
    'experiments',
    'docs',
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
    '.gitignore',
  ]) {
    cpSync(path.join(repository, name), path.join(clone, name), {
      recursive: true,
      filter: file => !/\.venv|__pycache__|\.given-python-setup/.test(file),
    });
  }
  for (const left of [
    'trainer/.venv/lib/python3.12/site-packages/torch/__init__.py',
    'trainer/__pycache__/train.cpython-312.pyc',
    'trainer/models/__pycache__/cifarnet.pyc',
    'trainer/.given-python-setup',
    'db/run.sqlite',
    'data/run/a.png',
    'models/run/model.onnx',
  ]) {
    mkdirSync(path.dirname(path.join(clone, left)), {recursive: true});
    writeFileSync(path.join(clone, left), 'left over');
  }
}

let packed: string[] = [];
let reached = true;

beforeAll(async () => {
  for (const needed of [app, home, fakes]) mkdirSync(needed);
  symlinkSync(path.join(repository, 'test', 'fixtures', 'fake-npm.mjs'), path.join(fakes, 'npm'));
  cpSync(path.join(repository, 'test', 'fixtures', 'fake-python.mjs'), path.join(fakes, 'python3'));
  writeFileSync(path.join(fakes, 'nvidia-smi'), '#!/bin/sh\nexit 9\n', {mode: 0o755});
  makeClone();
  const npm = execFileSync('sh', ['-c', 'command -v npm'], {encoding: 'utf8'}).trim();
  // Where the registry and its certificates are is the machine's affair, and what was fetched for this clone need not
  // be fetched again.
  const setting = (name: string) => execFileSync(npm, ['config', 'get', name], {encoding: 'utf8'}).trim();
  const settings = {
    npm_config_userconfig: setting('userconfig'),
    npm_config_cache: setting('cache'),
    npm_config_prefer_offline: 'true',
    npm_config_fund: 'false',
    npm_config_audit: 'false',
  };
  mustEnd(
    await run(npm, ['pack', '--silent', '--pack-destination', folder], {cwd: clone, env: {...settings, ...faked}}),
  );
  packed = execFileSync('tar', ['tzf', path.join(folder, 'pupil-0.1.0.tgz')], {encoding: 'utf8'})
    .trim()
    .split('\n')
    .sort();
  mustEnd(await run(npm, ['init', '-y'], {env: {...settings, HOME: home}}));
  const installed = await run(npm, ['install', '../pupil-0.1.0.tgz'], {env: {...settings, HOME: home}});
  reached =
    installed.status === 0 ||
    !/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH/.test(installed.stderr);
  if (!reached) console.warn('SKIPPED: npm cannot reach its registry, so the packed pupil is not installed and run.');
  else mustEnd(installed);
});
afterAll(remove);

describe('npm pack in a clone where nothing is installed', () => {
  it('installs what a build needs, and not Python', () => {
    expect(made()[0]).toMatchObject({
      program: 'npm',
      args: ['ci', '--no-audit', '--no-fund', '--loglevel=info'],
      cuda: 'skip',
    });
    expect(existsSync(path.join(clone, 'trainer', '.venv', 'bin'))).toBe(false);
  });

  it('packs the build and what it reads', () => {
    for (const file of [
      'dist/main.js',
      'dist/worker/main.js',
      'dist/commands/setup.js',
      'scripts/setup/set-up.mjs',
      'trainer/__main__.py',
      'trainer/models/resnet.py',
      'trainer/requirements.txt',
      'db/migrations/0001_initial.sql',
      'presets/demo.yaml',
      'experiments/cifar100-cpu.yaml',
      'docs/INSTALL.md',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
    ]) {
      expect(packed).toContain(`package/${file}`);
    }
  });

  it('packs no environment, no cache, no test, no source and nothing that a run left', () => {
    const expected =
      /^package\/(dist\/.*\.js|scripts\/setup\/[\w-]+\.mjs|trainer\/(models\/)?\w+\.py|trainer\/requirements\.txt|db\/migrations\/\w+\.sql|presets\/[\w.-]+|experiments\/[\w.-]+\.(yaml|mjs)|docs\/[\w.-]+|[A-Z]+(\.md)?|package\.json)$/;
    expect(packed.filter(file => !expected.test(file))).toEqual([]);
  });
});

describe('installed by npm into an empty folder', () => {
  it('brings no package that would run a script at install', async ctx => {
    if (!reached) return ctx.skip();
    const {packages} = z
      .object({packages: z.record(z.string(), z.object({hasInstallScript: z.boolean().optional()}))})
      .parse(JSON.parse(readFileSync(path.join(app, 'package-lock.json'), 'utf8')));
    expect(Object.entries(packages).filter(([, {hasInstallScript}]) => hasInstallScript === true)).toEqual([]);
  });

  it('tells its own version, not that of the project around it', async ctx => {
    if (!reached) return ctx.skip();
    expect(mustEnd(await pupil(['--version']))).toBe('0.1.0\n');
  });

  it('says before set-up what mends it, and draws nothing', async ctx => {
    if (!reached) return ctx.skip();
    const {status, stderr} = await run('npx', ['pupil', 'demo'], {env: {HOME: home}});
    expect(stderr).toMatch(/Run npx pupil setup\.$/m);
    expect(status).toBe(4);
    expect(readdirSync(app).sort()).toEqual(['node_modules', 'package-lock.json', 'package.json']);
    const doctor = await pupil(['doctor']);
    expect(doctor.status).toBe(4);
    expect(doctor.stdout.match(/mend it with: .*/g)).toEqual(
      Array.from({length: 3}, () => 'mend it with: npx pupil setup'),
    );
  });

  it("is set up in the user's data folder, with the pinned packages, once", async ctx => {
    if (!reached) return ctx.skip();
    writeFileSync(calls, '');
    mustEnd(await pupil(['setup'], faked));
    const data = path.join(home, '.local', 'share', 'pupil');
    const [node = '', python = ''] = readdirSync(data).sort();
    expect([node, python]).toEqual([
      expect.stringMatching(/^node-[0-9a-f]{12}$/),
      expect.stringMatching(/^python-[0-9a-f]{12}$/),
    ]);
    expect(readdirSync(path.join(data, node, 'node_modules')).sort()).toEqual(['better-sqlite3', 'onnxruntime-node']);
    expect(JSON.parse(readFileSync(path.join(data, node, 'package.json'), 'utf8'))).toMatchObject({
      dependencies: {'onnxruntime-node': '1.30.0'},
      allowScripts: {'better-sqlite3': true, 'onnxruntime-node': false},
    });
    const environment = path.join(data, python);
    const pip = made().filter(({args}) => args[1] === 'pip');
    expect(
      made()
        .filter(({args}) => args[1] === 'venv')
        .map(({args}) => args[2]),
    ).toEqual([environment]);
    expect(pip.every(({program}) => program === path.join(environment, 'bin', 'python'))).toBe(true);
    expect(pip.map(({args}) => args.slice(3).join(' '))).toEqual([
      ...(process.platform === 'linux'
        ? ['--disable-pip-version-check --no-deps torch==2.13.0+cpu']
        : ['--disable-pip-version-check torch==2.13.0']),
      `--disable-pip-version-check -r ${path.join(pupilPackage, 'trainer', 'requirements.txt')}`,
    ]);
    expect(made().find(({program}) => program === 'npm')).toMatchObject({cuda: 'skip'});

    writeFileSync(calls, '');
    expect(await pupil(['setup'], faked)).toMatchObject({status: 0, stderr: 'Everything is set up.\n'});
    expect(readFileSync(calls, 'utf8')).toBe('');
  });

  it("misses Python's packages before pictures are drawn", async ctx => {
    if (!reached) return ctx.skip();
    // The environment that was made just now has no torch in it.
    const {status, stderr} = await pupil(['demo']);
    expect(stderr).toMatch(/python does not run the trainer: .* mend it with npx pupil setup\./);
    expect(status).toBe(4);
    expect(existsSync(path.join(app, 'data', 'demo-pictures'))).toBe(false);
    expect(mustEnd(await pupil(['demo', '--dry-run']))).toContain(
      `The demo would draw its pictures into ${path.join(app, 'data')}`,
    );
  });

  it('scores pictures, with the current folder as the home', async ctx => {
    if (!reached) return ctx.skip();
    await writeData(path.join(folder, 'pictures'), 9);
    mustEnd(
      await pupil(['orchestrate', path.join(folder, 'pictures', 'colours.yaml'), '--until', 'score'], {
        PUPIL_PYTHON: colourTrainer,
      }),
    );
    expect(existsSync(path.join(app, 'db', 'colours.sqlite'))).toBe(true);
    expect(readdirSync(path.join(app, 'data', 'colours', 'scores')).length).toBeGreaterThan(0);
  });

  it('runs its own trainer, and writes nothing into the package', async ctx => {
    if (!reached || !existsSync(realPython)) return ctx.skip();
    const checks = z
      .object({checks: z.array(z.object({name: z.string(), ok: z.boolean()}))})
      .parse(JSON.parse((await pupil(['doctor', '--json'], {PUPIL_PYTHON: realPython})).stdout)).checks;
    expect(
      checks.filter(({name}) => ['sqlite', 'onnxruntime', 'python', 'training'].includes(name)).every(({ok}) => ok),
    ).toBe(true);
    expect(readdirSync(pupilPackage, {recursive: true}).filter(name => String(name).includes('__pycache__'))).toEqual(
      [],
    );
  });
});
