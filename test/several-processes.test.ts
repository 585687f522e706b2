import {existsSync, readdirSync, readFileSync} from 'node:fs';
import path from 'node:path';
import {afterAll, beforeAll, describe, expect, it, vi} from 'vitest';
import {drawDemo} from '../src/worker/draw-demo.js';
import {colourTrainer, doneOf, lastingFolder, outputOf, pupil, startPupil} from './commands/pupil.js';

/** The interpreter with torch; the test runner names it. */
const python = process.env['PUPIL_PYTHON'] ?? '';
const env = {PUPIL_PYTHON: python};
const {folder, remove} = lastingFolder();
const pictures = path.join(folder, 'pictures');
const home = path.join(folder, 'home');
const command = (...settings: string[]) => [
  'orchestrate',
  '--home',
  home,
  '--run',
  'several',
  '--labelled',
  path.join(pictures, 'labelled'),
  '--unlabelled',
  path.join(pictures, 'unlabelled'),
  '--until',
  'teacher',
  '--device',
  'cpu',
  '--json',
  ...[
    'image.size=32',
    'teacher.model=cifarnet',
    'teacher.epochs=3',
    'teacher.evaluations=1',
    'train.checkpoint_minutes=0.0001',
    'train.batch_size=8',
    ...settings,
  ].flatMap(setting => ['--set', setting]),
];

/** Processes of this run's trainer, by their number: RANK=1. */
function workers(): Map<string, number> {
  const found = new Map<string, number>();
  for (const id of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${id}/cmdline`, 'utf8').includes(home)) continue;
      const rank = /(?:^|\0)RANK=(\d+)/.exec(readFileSync(`/proc/${id}/environ`, 'utf8'))?.[1];
      if (rank !== undefined) found.set(rank, Number(id));
    } catch {
      // It ended while it was looked at.
    }
  }
  return found;
}

const state = (id: number) => /\) (\S)/.exec(readFileSync(`/proc/${id}/stat`, 'utf8'))?.[1];
/**
 * The first process holds still once it has saved its first checkpoint, so that the training is not over before the
 * blow; until it is let go.
 */
const HELD = {...env, PUPIL_FAIL_POINT: 'trainer.checkpoint.after:1:SIGSTOP'};
const heldProcesses = async () =>
  await vi.waitUntil(
    () => {
      const found = workers();
      return found.has('0') && found.has('1') && state(found.get('0')!) === 'T' && found;
    },
    {timeout: 600_000},
  );

beforeAll(async () => {
  await drawDemo(
    {
      protocol: 1,
      task: 'draw',
      output: pictures,
      seed: 3,
      size: 32,
      labelledPerClass: 12,
      unlabelled: 20,
      testPerClass: 1,
    },
    {signal: new AbortController().signal, emit: async () => {}},
  );
});
afterAll(remove);

it('is refused before any work where this torch has nothing for processes to talk by (exit 4)', async () => {
  const {code, stdout} = await pupil(command('train.processes=2'), {env: {PUPIL_PYTHON: colourTrainer}});
  expect(code).toBe(4);
  expect(stdout).toContain(
    'Several processes cannot train together here: this torch has no gloo. Set train.processes and train.hosts to 1',
  );
  expect(stdout).not.toContain('"stage_started"');
});

it.each([
  ['train.processes=0', 'train.processes is 0; expected more than 0'],
  ['train.address=node-a', 'train.address is "node-a"; expected HOST:PORT'],
])('is refused with a wrong key (exit 2): %s', async (setting, message) => {
  const {code, stderr} = await pupil(command(setting), {env});
  expect(code).toBe(2);
  expect(stderr).toContain(message);
});

describe.skipIf(!existsSync(python))('a teacher trained by two processes', () => {
  it('stops by Ctrl-C, survives a killed process with exit 4, and is finished by one process from the same checkpoint', async () => {
    const stopped = startPupil(command('train.processes=2'), {env: HELD});
    const all = await heldProcesses();
    stopped.child.kill('SIGINT');
    await stopped.said('Stopping after this step');
    process.kill(all.get('0')!, 'SIGCONT');
    const interrupted = await stopped.ended;
    expect(interrupted.code, interrupted.stdout + interrupted.stderr).toBe(130);
    expect(workers().size).toBe(0);

    const struck = startPupil(command('train.processes=2'), {env: HELD});
    const running = await heldProcesses();
    const victim = running.get('1')!;
    process.kill(victim, 'SIGKILL');
    process.kill(running.get('0')!, 'SIGCONT');
    const {code, stdout} = await struck.ended;
    expect(code, stdout).toBe(4);
    expect(stdout).toContain('Going on after step');
    expect(stdout).toContain(
      `Process 1 of this training (counted from 0, process id ${victim}) was killed by SIGKILL, probably because memory ran out`,
    );
    expect(workers().size).toBe(0);

    const finished = await outputOf(command('train.processes=1'), {env});
    expect(finished).toContain('Going on after step');
    expect(doneOf(finished).stages['teacher']?.status).toBe('ran');
  });

  it('dies with the program that started it', async () => {
    const started = startPupil(command('train.processes=2', 'teacher.epochs=5000'), {env});
    await started.said('"type":"checkpoint"');
    expect([...workers().keys()].sort()).toEqual(['0', '1']);
    started.child.kill('SIGKILL');
    await vi.waitUntil(() => workers().size === 0, {timeout: 600_000});
  });
});
