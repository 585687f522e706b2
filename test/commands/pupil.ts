/**
 * Runs the built command line as people do, on pictures that are blue, green or red, with a trainer that knows these
 * colours (fixtures/colour-trainer.mjs).
 */
import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import Database from 'better-sqlite3';
import sharp from 'sharp';
import {onTestFinished, vi} from 'vitest';
import {z} from 'zod';
import {runCommandLine} from '../../src/cli.js';
import {resultsFolder} from '../../src/home.js';

export const program = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
export const colourTrainer = fileURLToPath(new URL('../fixtures/colour-trainer.mjs', import.meta.url));
export const colours = ['blue', 'green', 'red'] as const;
export type Colour = (typeof colours)[number];

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface Started {
  child: ChildProcess;
  ended: Promise<Ended>;
  /** Resolves once stdout or stderr holds the text, after what was waited for before. */
  said: (text: string) => Promise<void>;
}

interface Options {
  cwd?: string;
  env?: Readonly<Record<string, string>>;
  /** Node's own arguments, which the image worker gets, too. */
  node?: readonly string[];
}

const homeOf = (args: readonly string[]): string => args[args.indexOf('--home') + 1] ?? '';

function spawnPupil(args: readonly string[], {cwd = tmpdir(), env = {}, node = []}: Options): Started {
  // As from a shell, not from npm, which passes signals on.
  const shell = {...process.env};
  delete shell['npm_command'];
  const child = spawn(process.execPath, [...node, program, ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    // By the mark its children are known.
    env: {...shell, PUPIL_PYTHON: colourTrainer, NO_COLOR: '1', PUPIL_MARK: homeOf(args), ...env},
  });
  const output = {stdout: '', stderr: ''};
  let unread = '';
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', chunk => {
      output[name] += String(chunk);
      unread += String(chunk);
    });
  }
  const ended = once(child, 'close').then(
    ([code, signal]: (number | NodeJS.Signals | null)[]) => ({code, signal, ...output}) as Ended,
  );
  const said = async (text: string) =>
    await new Promise<void>((resolve, reject) => {
      const look = () => {
        const at = unread.indexOf(text);
        if (at === -1) return;
        unread = unread.slice(at + text.length);
        for (const name of ['stdout', 'stderr'] as const) child[name].off('data', look);
        resolve();
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      look();
      void ended.then(({stdout, stderr}) =>
        reject(new Error(`It ended without saying ${JSON.stringify(text)}:\n${stdout}${stderr}`)),
      );
    });
  return {child, ended, said};
}

/** Starts a command that the test will stop; it ends with the test at the latest. */
export function startPupil(args: readonly string[], options: Options = {}): Started {
  const started = spawnPupil(args, options);
  onTestFinished(() => void started.child.kill('SIGKILL'));
  return started;
}

export const pupil = async (args: readonly string[], options: Options = {}): Promise<Ended> =>
  await spawnPupil(args, options).ended;

/**
 * What a command writes to stdout, run inside this process: the same code but for the process's edge, and many times as
 * fast.
 */
export async function look(args: readonly string[]): Promise<string> {
  let stdout = '';
  vi.stubEnv('PUPIL_PYTHON', colourTrainer);
  const write = vi.spyOn(process.stdout, 'write').mockImplementation(chunk => {
    stdout += String(chunk);
    return true;
  });
  const progress = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    await runCommandLine(args, {requested: new AbortController().signal, forced: new AbortController().signal});
  } finally {
    write.mockRestore();
    progress.mockRestore();
    vi.unstubAllEnvs();
  }
  return stdout;
}

/** What a command that must succeed wrote to stdout. */
export async function outputOf(args: readonly string[], options: Options = {}): Promise<string> {
  const {code, stdout, stderr} = await pupil(args, options);
  if (code !== 0) throw new Error(`pupil ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`);
  return stdout;
}

/** A folder that lasts for a test file; the caller removes it. */
export const lastingFolder = (): {folder: string; remove: () => void} => {
  const folder = mkdtempSync(path.join(tmpdir(), 'pupil-'));
  return {folder, remove: () => rmSync(folder, {recursive: true, force: true})};
};

/** A PNG of 24 x 20 pixels in a colour, with noise that `number` decides. */
export async function picture(colour: Colour, number: number): Promise<Buffer> {
  const channel = {red: 0, green: 1, blue: 2}[colour];
  let state = number * 2654435761 + 1;
  const pixels = Buffer.from(
    Array.from({length: 24 * 20 * 3}, (_, at) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (at % 3 === channel ? 150 : 40) + (state >>> 24) / 4;
    }),
  );
  return await sharp(pixels, {raw: {width: 24, height: 20, channels: 3}})
    .png()
    .toBuffer();
}

export interface Data {
  /** Holds train/, test/, pool/ and colours.yaml. */
  folder: string;
  config: string;
}

export const LABELLED = 12;
export const TEST = 4;

/** Of a run of these pictures, from the folder that holds them. */
const SETTINGS = `labelled: train
unlabelled: pool
test: test
image: {size: 16}
teacher: {epochs: 2}
pretrain: {epochs: 2}
finetune: {epochs: 2}
score: {shard_size: 8, batch_size: 4}
select: {top_p: 2, top_k: 5}
evaluate: {baseline: true}
`;

/** The same as what all arms of an experiment share. */
export const experimentConfig = `config:\n${SETTINGS.replace(/^(?=.)/gm, '  ')}`;

/** Writes class folders `train` and `test`, a flat `pool` and a config that names them. */
export async function writeData(folder: string, pool: number): Promise<Data> {
  let number = 0;
  const put = async (file: string, colour: Colour) => {
    mkdirSync(path.dirname(file), {recursive: true});
    writeFileSync(file, await picture(colour, number++));
  };
  for (const colour of colours) {
    for (let i = 0; i < LABELLED; i++) await put(path.join(folder, 'train', colour, `${i}.png`), colour);
    for (let i = 0; i < TEST; i++) await put(path.join(folder, 'test', colour, `${i}.png`), colour);
  }
  for (let i = 0; i < pool; i++) await put(path.join(folder, 'pool', `${i}.png`), colours[i % 3]!);
  const config = path.join(folder, 'colours.yaml');
  writeFileSync(config, `about: pictures of three colours\n${SETTINGS}`);
  return {folder, config};
}

/** Of a home in which nothing is kept of what its runs have made before: they go by what they hold. */
export const forgetKept = (home: string): void => rmSync(resultsFolder(home), {recursive: true, force: true});

/** A copy of a home that a test may change. Sources are absolute, so a copied run still knows them. */
export function copyOf(home: string, copy: string): string {
  cpSync(home, copy, {recursive: true, preserveTimestamps: true});
  return copy;
}

const done = z.object({
  type: z.literal('done'),
  run: z.string(),
  seconds: z.number(),
  stages: z.record(z.string(), z.object({status: z.string(), seconds: z.number()})),
  results: z.record(z.string(), z.object({top1: z.number(), top5: z.number()}).nullable()).nullable(),
  selection: z.record(z.string(), z.number()).nullable(),
});

/** The last line of `orchestrate --json`. */
export const doneOf = (stdout: string): z.infer<typeof done> =>
  done.parse(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? ''));

/** Runs what is stale of a run and tells what became of each stage. */
export async function orchestrate(data: Data, home: string, ...args: string[]): Promise<Record<string, string>> {
  const {stages} = doneOf(await look(['orchestrate', data.config, '--home', home, '--json', ...args]));
  return Object.fromEntries(Object.entries(stages).map(([name, {status}]) => [name, status]));
}

const status = z.object({
  run: z.string(),
  stages: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      reason: z.string(),
      seconds: z.number(),
      outputs: z.array(z.object({path: z.string(), sha256: z.string()})),
    }),
  ),
});

export const statusOf = async (home: string, ...args: string[]): Promise<z.infer<typeof status>> =>
  status.parse(JSON.parse(await look(['status', '--home', home, '--json', ...args])));

/** Rows of the stable view `ranking`, as SQL gives them. */
export function rankingRows(home: string): unknown[] {
  const connection = new Database(path.join(home, 'db/colours.sqlite'), {readonly: true});
  try {
    return connection
      .prepare('SELECT class, rank, score, image, place, selected FROM ranking ORDER BY class, rank')
      .all();
  } finally {
    connection.close();
  }
}
