import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {doneOf, lastingFolder, outputOf, pupil} from './commands/pupil.js';
import {readScores} from '../src/images/score-file.js';
import {unpackIds} from '../src/ranking/image-ids.js';
import {drawDemo} from '../src/worker/draw-demo.js';

/** The interpreter with torch; the test runner names it. */
const python = process.env['PUPIL_PYTHON'] ?? '';
const env = {PUPIL_PYTHON: python};
const maker = fileURLToPath(new URL('fixtures/foreign_teachers.py', import.meta.url));
const root = fileURLToPath(new URL('..', import.meta.url));
const POOL = 60;
const KEPT = 10;

if (!existsSync(python))
  console.warn('SKIPPED: PUPIL_PYTHON names no interpreter with torch, so no teachers from elsewhere are tried.');

describe.skipIf(!existsSync(python))('a teacher from elsewhere', () => {
  const {folder, remove} = lastingFolder();
  const pictures = path.join(folder, 'pictures');
  const home = path.join(folder, 'home');
  const made = path.join(folder, 'made');
  /** The file's own class names, in another order than the run's. */
  const names = path.join(folder, 'names.txt');

  const command = (teacher: string, ...settings: string[]) => [
    'orchestrate',
    '--home',
    home,
    '--run',
    'foreign',
    '--labelled',
    path.join(pictures, 'labelled'),
    '--unlabelled',
    path.join(pictures, 'unlabelled'),
    '--until',
    'score',
    '--teacher',
    path.join(made, teacher),
    // What these tests are about is the teacher, not the form in which it scores.
    ...['image.size=32', 'limits.threads=1', 'score.precision=fp32', `teacher.classes=${names}`, ...settings].flatMap(
      setting => ['--set', setting],
    ),
  ];
  const scores = () => readScores(path.join(home, 'data/foreign/scores/shard-00000.parquet'), KEPT);
  /** Of every image in turn, the log-probability of every class in the order of classes. */
  const logProbsByClass = ({classes, logProbs}: Awaited<ReturnType<typeof scores>>): number[] =>
    Array.from({length: POOL}, (_, row) =>
      classes
        .map((column, place) => [column[row]!, logProbs[place]![row]!] as const)
        .sort(([a], [b]) => a - b)
        .map(([, logProb]) => logProb),
    ).flat();
  /** What a run says, exit code first. */
  const refusal = async (...args: Parameters<typeof command>) => {
    const {code, stderr} = await pupil(command(...args), {env});
    return {code, message: stderr.trimEnd().split('\n').at(-1)};
  };

  beforeAll(async () => {
    await drawDemo(
      {
        protocol: 1,
        task: 'draw',
        output: pictures,
        seed: 5,
        size: 32,
        labelledPerClass: 12,
        unlabelled: POOL,
        testPerClass: 1,
      },
      {signal: new AbortController().signal, emit: async () => {}},
    );
    const classes = readdirSync(path.join(pictures, 'labelled'));
    writeFileSync(names, classes.toSorted().toReversed().join('\n'));
    mkdirSync(made);
    execFileSync(python, [maker, made, String(classes.length)], {
      env: {...process.env, PYTHONPATH: root},
      stdio: 'pipe',
    });
  });
  afterAll(remove);

  it('as a CIFAR ResNet gives the same scores as a checkpoint and as ONNX', async () => {
    const described = ['teacher.mean=[0.49,0.48,0.45]', 'teacher.std=[0.2,0.2,0.2]'];
    const {stages} = doneOf(
      await outputOf([...command('resnet20.th', 'teacher.model=resnet20', ...described), '--json'], {env}),
    );
    expect(stages).toMatchObject({teacher: {status: 'skipped'}, export: {status: 'ran'}, score: {status: 'ran'}});
    const checkpoint = await scores();
    expect(unpackIds(checkpoint.ids)).toHaveLength(POOL);
    const said = await outputOf([...command('resnet20.onnx', ...described), '--json'], {env});
    expect(said).toContain(
      'is taken to want float_nchw pixels, normalised by mean [0.49, 0.48, 0.45] and deviation [0.2, 0.2, 0.2], and to answer probabilities',
    );
    expect(doneOf(said).stages).toMatchObject({
      teacher: {status: 'skipped'},
      export: {status: 'skipped'},
      score: {status: 'ran'},
    });
    const onnx = await scores();
    expect(onnx.ids).toEqual(checkpoint.ids);
    expect(
      new Set(Array.from({length: POOL}, (_, row) => onnx.classes.map(column => column[row]).join(' '))).size,
    ).toBeGreaterThan(1);
    // Class by class, whichever place it has: two that are as close as rounding may change places. Twenty layers in
    // float32 (of 6e-8) add up some hundred products each, and a difference in one is carried through all that follow.
    const [ours, theirs] = [onnx, checkpoint].map(logProbsByClass);
    ours!.forEach((logProb, at) => expect(Math.abs(logProb - theirs![at]!)).toBeLessThan(1e-3));
  });

  it('is trusted only as far as it goes: one that guesses is warned of', async () => {
    expect(
      await outputOf(
        [...command('resnet20.onnx', 'teacher.mean=[0.1,0.1,0.1]', 'teacher.std=[0.229,0.224,0.225]'), '--json'],
        {env},
      ),
    ).toContain('of the validation images; guessing would be about 10');
  });

  it('with other classes is refused by their names (exit 3)', async () => {
    const classes = readFileSync(names, 'utf8').split('\n');
    writeFileSync(path.join(folder, 'others.txt'), [...classes.slice(1), 'unicorn'].join('\n'));
    const message = `1 missing (${classes[0]}); 1 not among the labels (unicorn)`;
    const others = `teacher.classes=${path.join(folder, 'others.txt')}`;
    expect(await refusal('resnet20.onnx', others)).toEqual({code: 3, message: expect.stringContaining(message)});
  });

  it('of another network, or cut off, is refused with what to do (exit 3)', async () => {
    expect(await refusal('resnet20.th', 'teacher.model=resnet18')).toEqual({
      code: 3,
      message: expect.stringContaining('It fits a resnet20: set teacher.model to that.'),
    });
    const bytes = readFileSync(path.join(made, 'resnet20.onnx'));
    writeFileSync(path.join(made, 'cut.onnx'), bytes.subarray(0, bytes.length / 2));
    expect(await refusal('cut.onnx')).toEqual({
      code: 3,
      message: expect.stringContaining(`${path.join(made, 'cut.onnx')} cannot be read`),
    });
  });

  it('in ONNX needs a number for its temperature (exit 2)', async () => {
    expect(await refusal('resnet20.onnx', 'teacher.temperature=fit')).toEqual({
      code: 2,
      message: expect.stringContaining('teacher.temperature is fit, which needs the weights in PyTorch'),
    });
  });
});
