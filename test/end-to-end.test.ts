import {execFileSync} from 'node:child_process';
import {existsSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import Database from 'better-sqlite3';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {doneOf, lastingFolder, outputOf, pupil, statusOf} from './commands/pupil.js';
import {drawDemo} from '../src/worker/draw-demo.js';

/** The interpreter with torch and pyarrow; the test runner names it. */
const python = process.env['PUPIL_PYTHON'] ?? '';
const env = {PUPIL_PYTHON: python};
const judge = fileURLToPath(new URL('fixtures/independent_top_k.py', import.meta.url));
const TOP_P = 3;
const TOP_K = 20;
const SHARDS = 10;
const SCORES = 'data/real/scores';

const {folder, remove} = lastingFolder();
const pictures = path.join(folder, 'pictures');
const home = path.join(folder, 'home');
const settings = [
  'image.size=32',
  'teacher.model=cifarnet',
  'teacher.epochs=6',
  'pretrain.epochs=2',
  'finetune.epochs=2',
  'train.evaluations=2',
  `select.top_p=${TOP_P}`,
  `select.top_k=${TOP_K}`,
  'score.shard_size=40',
  'evaluate.baseline=true',
  'limits.threads=1',
];
const command = (at: string, ...more: string[]) => [
  'orchestrate',
  '--home',
  at,
  '--run',
  'real',
  '--labelled',
  path.join(pictures, 'labelled'),
  '--unlabelled',
  path.join(pictures, 'unlabelled'),
  '--test',
  path.join(pictures, 'test'),
  ...settings.flatMap(setting => ['--set', setting]),
  ...more,
];

function rankings(at: string): {class: string; score: number; image: string}[] {
  const connection = new Database(path.join(at, 'db/real.sqlite'), {readonly: true});
  try {
    return connection
      .prepare<[], {class: string; score: number; image: string}>(
        'SELECT class, rank, score, image FROM ranking ORDER BY class, rank',
      )
      .all();
  } finally {
    connection.close();
  }
}

function judged(at: string): Record<string, [number, string][]> {
  return JSON.parse(
    execFileSync(python, [judge, path.join(at, SCORES), String(TOP_P), String(TOP_K)], {
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    }),
  ) as Record<string, [number, string][]>;
}

if (!existsSync(python))
  console.warn('SKIPPED: PUPIL_PYTHON names no interpreter with torch, so the real trainer is not run.');

describe.skipIf(!existsSync(python))('a small run with the real trainer', () => {
  let done: ReturnType<typeof doneOf>;

  beforeAll(async () => {
    await drawDemo(
      {
        protocol: 1,
        task: 'draw',
        output: pictures,
        seed: 3,
        size: 32,
        labelledPerClass: 12,
        unlabelled: 40 * SHARDS,
        testPerClass: 6,
      },
      {signal: new AbortController().signal, emit: async () => {}},
    );
    done = doneOf(await outputOf(command(home, '--json'), {env}));
  });
  afterAll(remove);

  it('goes from pictures to a report, with accuracies of all four networks', () => {
    expect(Object.values(done.stages).every(({status}) => status === 'ran')).toBe(true);
    for (const accuracy of Object.values(done.results ?? {})) expect(accuracy?.top1).toBeGreaterThanOrEqual(0);
    expect(done.selection).toMatchObject({
      classes: 10,
      top_p: TOP_P,
      top_k: TOP_K,
      scored: 40 * SHARDS,
      candidates: TOP_P * 40 * SHARDS,
    });
    for (const file of ['student/model.onnx', 'student/model.safetensors', 'report.html', 'results.json'])
      expect(existsSync(path.join(home, 'models/real', file))).toBe(true);
  });

  it('selects what numpy selects from the same score files', () => {
    const ours: Record<string, [number, string][]> = {};
    for (const {class: name, score, image} of rankings(home)) (ours[name] ??= []).push([score, image]);
    expect(ours).toEqual(Object.fromEntries(Object.entries(judged(home)).filter(([, rows]) => rows.length > 0)));
  });

  it('leaves a model that answers elsewhere as pupil predict does, by the examples of docs/MODEL.md', async () => {
    const page = readFileSync(new URL('../docs/MODEL.md', import.meta.url), 'utf8');
    const example = (language: string) => new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``).exec(page)?.[1] ?? '';
    const test = path.join(pictures, 'test');
    const files = readdirSync(test).flatMap(name =>
      readdirSync(path.join(test, name))
        .slice(0, 2)
        .map(file => path.join(test, name, file)),
    );
    const predicted = (await outputOf(['predict', '--home', home, '--json', '--top', '1', ...files]))
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as {classes: [{class: string; probability: number}]});
    const student = path.join(home, 'models/real/student');
    const answers = (program: string, ...args: string[]) =>
      execFileSync(program, [...args, student, ...files], {encoding: 'utf8'})
        .trimEnd()
        .split('\n')
        .map(line => line.split(' '));
    // Beside the packages that it imports.
    const script = fileURLToPath(new URL('model-example.mjs', import.meta.url));
    writeFileSync(script, example('js'));
    try {
      expect(answers(process.execPath, script)).toEqual(
        predicted.map(({classes: [best]}, at) => [files[at], best.class, String(best.probability)]),
      );
    } finally {
      rmSync(script);
    }
    answers(python, '-c', example('python')).forEach(([, , probability], at) =>
      expect(Number(probability)).toBeCloseTo(predicted[at]!.classes[0].probability, 2),
    );
  });

  it('has nothing to do the second time', async () => {
    const again = doneOf(await outputOf(command(home, '--json'), {env}));
    expect(Object.values(again.stages).every(({status}) => status === 'fresh')).toBe(true);
    expect((await statusOf(home)).stages.every(({status}) => status === 'fresh')).toBe(true);
  });

  it('ranks the same on another number of threads, with other shards, and after a kill -9 in the middle of scoring', async () => {
    const other = path.join(folder, 'other');
    const sameTeacher = [
      '--teacher',
      path.join(home, 'models/real/teacher/model.onnx'),
      '--set',
      'limits.threads=2',
      '--set',
      'score.shard_size=64',
      '--until',
      'select',
    ];
    expect(
      await pupil(command(other, ...sameTeacher), {env: {...env, PUPIL_FAIL_POINT: 'shard.after-record:2'}}),
    ).toMatchObject({signal: 'SIGKILL'});
    const {code, stderr} = await pupil(command(other, ...sameTeacher), {env});
    expect(code, stderr).toBe(0);
    expect(rankings(other)).toEqual(rankings(home));
  });
});
