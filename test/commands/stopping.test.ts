import {spawnSync} from 'node:child_process';
import {readdirSync, readFileSync, rmSync} from 'node:fs';
import path from 'node:path';
import {afterAll, beforeAll, describe, expect, it, vi} from 'vitest';
import {readingsOf} from '../../src/stages/curves.js';
import {openStoreToRead} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {
  colourTrainer,
  copyOf,
  lastingFolder,
  outputOf,
  program,
  pupil,
  rankingRows,
  startPupil,
  statusOf,
  writeData,
  type Data,
} from './pupil.js';

const POOL = 40;
const {folder, remove} = lastingFolder();
/** A run up to its rankings; tests take a copy. */
const selected = path.join(folder, 'selected');
let data: Data;

beforeAll(async () => {
  data = await writeData(path.join(folder, 'data'), POOL);
  await outputOf(['orchestrate', data.config, '--home', selected, '--json', '--until', 'select']);
});
afterAll(remove);

const aCopy = async () => copyOf(selected, path.join(await temporaryFolder(), 'home'));
const slowly = {PUPIL_COLOUR_TRAINER_EPOCH_MS: '100'};
/** Has so long to save, and then is killed; see src/children/child.ts. */
const A_CHILD_ASKED_ONCE_MS = 60_000;
const training = ['--set', 'teacher.epochs=40', '--until', 'teacher'];

/** Whether a child works for this home: a trainer has a path of it among its arguments, an image worker its mark. */
const isWorkedFor = (home: string): boolean =>
  readdirSync('/proc').some(pid => {
    try {
      if (!/^\d+$/.test(pid)) return false;
      const [line, environment] = ['cmdline', 'environ'].map(name => readFileSync(`/proc/${pid}/${name}`, 'utf8'));
      return (
        line!.includes(path.join(home, 'data')) ||
        (line!.includes('dist/worker/main.js') && environment!.split('\0').includes(`PUPIL_MARK=${home}`))
      );
    } catch {
      return false; // Gone meanwhile.
    }
  });

/** How fast this machine is today is no matter of a test: this is for what hangs. */
const until = async (condition: () => boolean) => await vi.waitUntil(condition, {interval: 5, timeout: 600_000});

describe('while a run is worked on', () => {
  it('a second orchestrate does not wait: it ends with exit 75 and names the holder; looking is free', async () => {
    const home = await aCopy();
    const first = startPupil(
      ['orchestrate', data.config, '--home', home, '--until', 'teacher', '--set', 'teacher.epochs=10000'],
      {env: slowly},
    );
    await first.said('> teacher');
    const second = await pupil(['orchestrate', data.config, '--home', home]);
    expect(second.code).toBe(75);
    expect(second.stderr).toMatch(
      new RegExp(
        `^Run colours is being worked on by process ${first.child.pid} on \\S+, since \\S+\\. Wait for it, or use another name \\(--run NAME\\)\\.\n$`,
      ),
    );
    expect((await statusOf(home)).stages.slice(0, 3)).toMatchObject([
      {status: 'fresh'},
      {status: 'running', reason: 'being worked on'},
      {status: 'stale'},
    ]);
    first.child.kill('SIGTERM');
    expect(await first.ended).toMatchObject({code: 143});
  });
});

describe('a reader that goes away', () => {
  it.each([
    ['stdout', '--json | head -n 1'],
    ['stderr', '2>&1 >/dev/null | head -n 1'],
  ])('of %s ends no work, and no verdict', async (_, pipe) => {
    const home = path.join(await temporaryFolder(), 'home');
    const command = `set -o pipefail; ${process.execPath} ${program} orchestrate ${data.config} --home ${home} --until prepare ${pipe}`;
    const {status, stderr} = spawnSync('bash', ['-c', command], {
      encoding: 'utf8',
      env: {...process.env, PUPIL_PYTHON: colourTrainer, NO_COLOR: '1'},
    });
    expect([status, stderr]).toEqual([0, '']);
    expect((await statusOf(home)).stages[0]).toMatchObject({name: 'prepare', status: 'fresh'});
    const doctor = spawnSync(
      'bash',
      [
        '-c',
        `set -o pipefail; ${process.execPath} ${program} doctor --home ${home} --python /nowhere/python ${pipe.replace('--json ', '')}`,
      ],
      {encoding: 'utf8'},
    );
    expect(doctor.status).toBe(4);
  });
});

describe('Ctrl-C', () => {
  it('once saves and ends with exit 130, and the same command goes on', async () => {
    const home = await aCopy();
    const run = startPupil(['orchestrate', data.config, '--home', home, ...training], {
      env: {PUPIL_COLOUR_TRAINER_EPOCH_MS: '500'},
    });
    await run.said('epoch 1, validation');
    run.child.kill('SIGINT');
    const {code, stderr} = await run.ended;
    expect(code).toBe(130);
    expect(stderr).toContain('\nStopping after this step; press Ctrl-C again to stop at once.\n');
    expect(stderr).toMatch(/\nStopped\. What was done is saved; the same command goes on from here\.\n$/);
    expect((await statusOf(home)).stages[1]).toMatchObject({
      status: 'interrupted',
      reason: 'was interrupted: goes on where it stopped',
    });

    const again = await pupil(['orchestrate', data.config, '--home', home, ...training]);
    expect(again.code).toBe(0);
    expect(again.stderr).toMatch(/^ {2}teacher {3}going on after epoch [1-9]\d*$/m);
    // The curve is whole: no epoch is missing, none came twice.
    const store = openStoreToRead(path.join(home, 'db/colours.sqlite'))!;
    expect(readingsOf(store, 'teacher', '').evaluations.map(({epoch}) => epoch)).toEqual(
      Array.from({length: 40}, (_, epoch) => epoch + 1),
    );
    store.close();
  });

  it('that npm passes on as well is one press: the run saves all the same', async () => {
    const home = await aCopy();
    const run = startPupil(['orchestrate', data.config, '--home', home, ...training], {
      env: {PUPIL_COLOUR_TRAINER_EPOCH_MS: '500', npm_command: 'exec'},
    });
    await run.said('epoch 1, validation');
    run.child.kill('SIGINT');
    run.child.kill('SIGINT');
    expect(await run.ended).toMatchObject({
      code: 130,
      stderr: expect.stringMatching(
        /\nStopped\. What was done is saved; the same command goes on from here\.\n$/,
      ) as string,
    });
  });

  it('twice stops at once, and leaves no process behind', async () => {
    const home = await aCopy();
    const run = startPupil(['orchestrate', data.config, '--home', home, ...training], {
      env: {PUPIL_COLOUR_TRAINER_EPOCH_MS: '1000000'},
    });
    await run.said('> teacher');
    await until(() => isWorkedFor(home));
    run.child.kill('SIGINT');
    await run.said('press Ctrl-C again');
    const begun = performance.now();
    run.child.kill('SIGINT');
    expect(await run.ended).toMatchObject({code: 130});
    expect(performance.now() - begun).toBeLessThan(A_CHILD_ASKED_ONCE_MS);
    await until(() => !isWorkedFor(home));
  });
});

describe('kill -9 of the orchestrator', () => {
  it('in the middle of scoring ends the worker, too; the same command goes on and comes to the same ranking', async () => {
    const home = await aCopy();
    const command = ['orchestrate', data.config, '--home', home, '--until', 'select', '--set', 'score.shard_size=1'];
    const scores = path.join(home, 'data/colours/scores');
    rmSync(scores, {recursive: true});
    expect(await pupil(command, {env: {PUPIL_FAIL_POINT: 'shard.after-record:3'}})).toMatchObject({signal: 'SIGKILL'});
    await until(() => !isWorkedFor(home));
    expect((await statusOf(home)).stages[3]).toMatchObject({
      status: 'interrupted',
      reason: 'was cut short: goes on where it stopped',
    });

    const again = await pupil(command);
    expect(again.code).toBe(0);
    expect(again.stderr).toMatch(/^ {2}score {5}[1-9]\d* of \d+ images are scored already$/m);
    expect(JSON.stringify(rankingRows(home))).toBe(JSON.stringify(rankingRows(selected)));
  });
});

const canMount =
  spawnSync('unshare', ['--map-root-user', '--mount', 'sh', '-c', 'mount -t tmpfs tmpfs /mnt']).status === 0;
if (!canMount) console.warn('SKIPPED: a full disk needs a namespace of its own, which this machine does not give.');

it.skipIf(!canMount)(
  'a full disk ends a run with exit 4 and the free space; it goes on once there is room',
  async () => {
    const home = await temporaryFolder();
    const script = `
    mount -t tmpfs -o size=300k tmpfs "$HOME_FOLDER" || exit 99
    "$@" 2>&1; echo "exit $?"
    mount -o remount,size=20m "$HOME_FOLDER"
    "$@" 2>&1; echo "exit $?"`;
    const command = [process.execPath, program, 'orchestrate', data.config, '--home', home, '--until', 'prepare'];
    const {stdout} = spawnSync('unshare', ['--map-root-user', '--mount', 'sh', '-c', script, 'sh', ...command], {
      encoding: 'utf8',
      env: {...process.env, HOME_FOLDER: home, PUPIL_PYTHON: colourTrainer},
    });
    const [full = '', room = ''] = stdout.split(/^exit 4$/m);
    expect(full).toMatch(/disk is full.*\b0 \w?B free/i);
    expect(full).not.toContain('This is a bug');
    expect(room).toMatch(/exit 0\n$/);
  },
);
