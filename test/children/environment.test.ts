import {existsSync, readFileSync} from 'node:fs';
import {mkdir, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {afterEach, describe, expect, it, vi} from 'vitest';
import {runChild, type ChildOptions} from '../../src/children/child.js';
import type {ChildCommand} from '../../src/children/child-process.js';
import {allowedEnvironment} from '../../src/children/environment.js';
import {PROTOCOL} from '../../src/children/protocol.js';
import {packageFolder} from '../../src/children/python-env.js';
import {trainerCommand} from '../../src/children/trainer.js';
import {workerCommand} from '../../src/children/worker.js';
import {Interrupted} from '../../src/errors.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const fakeTrainer = fileURLToPath(new URL('../fixtures/fake-trainer.mjs', import.meta.url));
/** The interpreter with torch; the test runner names it. */
const python = process.env['PUPIL_PYTHON'] ?? '';
const probe = {protocol: PROTOCOL, task: 'probe', device: 'cpu'} as const;
const result = {runtime: 'torch 2.13.0', device: 'cpu', device_name: 'a CPU', bf16: false};

afterEach(() => vi.unstubAllEnvs());

/** What a child finds in its environment, started as this command says but for its program. */
async function environmentOf(command: ChildCommand): Promise<unknown> {
  const attempt = await temporaryFolder();
  const script = JSON.stringify([
    {printEnvironment: null},
    {emit: {type: 'hello', protocol: PROTOCOL, runtime: '', device: 'cpu'}},
    {emit: {type: 'finished', result}},
  ]);
  const stop = {requested: new AbortController().signal, forced: new AbortController().signal};
  await runChild<'probe'>(
    {...command, file: process.execPath, args: [fakeTrainer], env: {...command.env, FAKE_TRAINER_SCRIPT: script}},
    probe,
    {attempt, stop, onEvent: () => {}},
  );
  return JSON.parse(readFileSync(path.join(attempt, `${command.name}.log`), 'utf8'));
}

describe.each([
  ['the trainer', trainerCommand('/a/python'), packageFolder],
  ['several trainers', trainerCommand('/a/python', {count: 2, hosts: 1, address: ''}), packageFolder],
  ['the image worker', workerCommand({threads: 1, device: 'cpu', python: null}), undefined],
])('the environment of %s', (_, command, pythonPath) => {
  it('holds no secret of the user, no proxy, and nothing that runs code first', async () => {
    const kept = {
      PATH: process.env['PATH'] ?? '',
      HOME: '/a/home',
      LC_ALL: 'C',
      OMP_PROC_BIND: 'false',
      CUDA_VISIBLE_DEVICES: '1',
      PUPIL_PYTHON: '/a/python',
    };
    const withheld = {
      AWS_SECRET_ACCESS_KEY: 'secret',
      HF_TOKEN: 'secret',
      HTTPS_PROXY: 'http://user:secret@proxy',
      PYTHONSTARTUP: '/x.py',
      PYTHONHOME: '/x',
      NODE_OPTIONS: '--no-warnings',
      LD_PRELOAD: '',
      RANK: '3',
      WORLD_SIZE: '8',
    };
    for (const [name, value] of Object.entries({...kept, ...withheld, PYTHONPATH: '/x'})) vi.stubEnv(name, value);
    const found = await environmentOf(command);
    expect(found).toMatchObject(kept);
    for (const name of Object.keys(withheld)) expect(found).not.toHaveProperty(name);
    expect(found).toHaveProperty('PATH');
    expect((found as {PYTHONPATH?: string}).PYTHONPATH).toBe(pythonPath);
    expect(JSON.stringify(found)).not.toContain('secret');
  });
});

it('tells variables apart by their whole names', () => {
  expect(allowedEnvironment({PATHS: '1', XPATH: '1', HOME_TOKEN: '1', MY_CUDA_KEY: '1', TZ: 'UTC'})).toEqual({
    TZ: 'UTC',
  });
});

it.skipIf(!existsSync(python))(
  "runs pupil's own trainer though PYTHONPATH has another, and a module that Python would run at its start",
  async () => {
    const folder = await temporaryFolder();
    const ran = path.join(folder, 'ran');
    const code = `open(${JSON.stringify(ran)}, 'w').close()\n`;
    await mkdir(path.join(folder, 'trainer'));
    for (const file of ['sitecustomize.py', 'usercustomize.py', 'trainer/__init__.py', 'trainer/__main__.py'])
      await writeFile(path.join(folder, file), code);
    vi.stubEnv('PYTHONPATH', folder);
    const [requested, forced] = [new AbortController(), new AbortController()];
    const greeted: string[] = [];
    const onEvent: ChildOptions['onEvent'] = event => {
      greeted.push(event.type);
      // Before torch is loaded.
      requested.abort();
      forced.abort();
    };
    await expect(
      runChild<'probe'>(trainerCommand(python), probe, {
        attempt: path.join(folder, 'attempt'),
        stop: {requested: requested.signal, forced: forced.signal},
        onEvent,
      }),
    ).rejects.toBeInstanceOf(Interrupted);
    expect(greeted[0]).toBe('hello');
    expect(existsSync(ran)).toBe(false);
  },
);
