/**
 * The form in which a run's teacher scores the pool: score.precision and score.decode, from the command line to the
 * score files.
 */
import {existsSync} from 'node:fs';
import path from 'node:path';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {z} from 'zod';
import {openStoreToRead} from '../../src/store/open.js';
import {
  copyOf,
  lastingFolder,
  orchestrate,
  outputOf,
  pupil,
  rankingRows,
  statusOf,
  writeData,
  type Data,
} from './pupil.js';

const {folder, remove} = lastingFolder();
/** A finished run that scored in fp32; tests take a copy. */
const finished = path.join(folder, 'finished');
let data: Data;

beforeAll(async () => {
  data = await writeData(path.join(folder, 'data'), 30);
  await outputOf(['orchestrate', data.config, '--home', finished]);
});
afterAll(remove);

const run = (home: string, settings: readonly string[], env: Record<string, string> = {}) =>
  pupil(['orchestrate', data.config, '--home', home, ...settings.flatMap(setting => ['--set', setting])], {env});
const inHome = (home: string, file: string) => existsSync(path.join(home, 'models/colours/teacher', file));
/** A trainer whose int8 takes one class for another. */
const ROUGH = {PUPIL_COLOUR_TRAINER_ROUGH: '1'};

const scoring = z.object({
  scoring: z.object({
    precision: z.string(),
    decode: z.string(),
    measured: z.array(
      z.object({form: z.string(), top1: z.number(), exactTop1: z.number(), overlap: z.number(), sample: z.number()}),
    ),
  }),
});
function scoringOf(home: string): z.infer<typeof scoring>['scoring'] {
  const store = openStoreToRead(path.join(home, 'db/colours.sqlite'));
  try {
    return scoring.parse(store?.stages.read('export')?.summary).scoring;
  } finally {
    store?.close();
  }
}

describe('score.precision: int8', () => {
  it('scores with a quantised teacher that was measured against the exact one, and leaves the exact one beside it', async () => {
    const home = copyOf(finished, path.join(folder, 'int8'));
    const {code, stdout, stderr} = await run(home, ['score.precision=int8']);
    expect(stderr + stdout).toMatch(
      /int8: 100\.0 % top-1 on validation where the exact form has 100\.0 %, 100\.0 % of the same selection from 30 pictures of the pool, \d+\.\d times as fast; taken/,
    );
    expect(code).toBe(0);
    expect(scoringOf(home)).toMatchObject({precision: 'int8', measured: [{form: 'int8', overlap: 1, sample: 30}]});
    expect([inHome(home, 'model.onnx'), inHome(home, 'model.int8.onnx')]).toEqual([true, true]);
    expect(rankingRows(home)).toEqual(rankingRows(finished));
  });

  it('that chooses otherwise is tried again with its ends in fp32, then taken with a warning that tells its cost', async () => {
    const home = path.join(folder, 'rough int8');
    const {code, stderr, stdout} = await run(home, ['score.precision=int8'], ROUGH);
    expect(code).toBe(0);
    expect(scoringOf(home).measured.map(({form}) => form)).toEqual([
      'int8',
      'int8 with its first and last layer in fp32',
    ]);
    expect((stderr + stdout).replaceAll(/\s+/g, ' ')).toMatch(
      /! export The pool is scored in int8 .* which chooses other pictures .* set score\.precision to fp32/,
    );
    expect(scoringOf(home).measured[0]!.top1).toBeLessThan(0.5);
  });

  it('makes export stale and what follows, and going back to fp32 takes what was made of it', async () => {
    const home = copyOf(finished, path.join(folder, 'there and back'));
    expect(await orchestrate(data, home, '--set', 'score.precision=int8')).toMatchObject({
      teacher: 'fresh',
      export: 'ran',
      score: 'ran',
      pretrain: 'fresh',
    });
    expect(await orchestrate(data, home)).toMatchObject({teacher: 'fresh', export: 'fresh', score: 'fresh'});
    const exported = (await statusOf(home)).stages.find(({name}) => name === 'export')!;
    expect(exported.outputs.map(output => path.basename(output.path))).toEqual(['model.onnx', 'model.json']);
  });

  it('is refused on a GPU, as fp16 is on a CPU, before anything is trained', async () => {
    const {code, stderr} = await run(path.join(folder, 'fp16'), ['score.precision=fp16', 'device=cpu']);
    expect(code).toBe(4);
    expect(stderr).toContain(
      'score.precision is fp16, with which CPUs are slow, and the device is cpu. Set it to int8 or auto.',
    );
    expect(stderr).not.toContain('epoch');
  });
});

describe('score.precision: auto', () => {
  it('stays with fp32 where int8 chooses other pictures', async () => {
    const home = path.join(folder, 'auto');
    const {code} = await run(home, ['score.precision=auto'], ROUGH);
    expect(code).toBe(0);
    expect(scoringOf(home)).toMatchObject({precision: 'fp32', measured: [{form: 'int8'}, {}]});
    expect(rankingRows(home)).toEqual(rankingRows(finished));
  });
});

describe('score.decode: fast', () => {
  it('is measured like a precision, on validation pictures decoded the same way', async () => {
    const home = copyOf(finished, path.join(folder, 'fast'));
    const {code, stderr, stdout} = await run(home, ['score.decode=fast']);
    expect(code).toBe(0);
    expect(stderr + stdout).toMatch(/fp32, decode fast: 100\.0 % top-1 on validation/);
    expect(scoringOf(home)).toMatchObject({precision: 'fp32', decode: 'fast', measured: [{overlap: 1}]});
    // Small PNGs have no fast way.
    expect(rankingRows(home)).toEqual(rankingRows(finished));
  });
});
