import {readdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import sharp from 'sharp';
import {expect, it} from 'vitest';
import type {TaskOf} from '../../src/children/protocol.js';
import {kinds} from '../../src/worker/demo/kinds.js';
import {drawDemo} from '../../src/worker/draw-demo.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {resultOf} from './worker-process.js';

const settings = {seed: 7, size: 32, labelledPerClass: 2, unlabelled: 30, testPerClass: 3};
const never = new AbortController().signal;
const silent = async () => {};

const taskFor = (output: string, changes: Partial<typeof settings> = {}): TaskOf<'draw'> => ({
  protocol: 1,
  task: 'draw',
  output,
  ...settings,
  ...changes,
});

/** Every file below a folder, by its path in it. */
async function filesOf(folder: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(folder, {recursive: true, withFileTypes: true});
  const names = entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1));
  return new Map(
    await Promise.all(names.sort().map(async name => [name, await readFile(join(folder, name))] as const)),
  );
}

it('the demo is ordinary folders of square PNG pictures, as many as asked for of every kind', async () => {
  const output = `${await temporaryFolder()}/pictures`;
  const {result} = await resultOf('draw', {output, ...settings});
  const files = await filesOf(output);

  const numbered = (folder: string, digits: number, count: number) =>
    Array.from({length: count}, (_, i) => `${folder}/${String(i).padStart(digits, '0')}.png`);
  const perClass = (set: string, count: number) =>
    Object.keys(kinds).flatMap(kind => numbered(`${set}/${kind}`, 3, count));
  expect([...files.keys()]).toEqual(
    [...perClass('labelled', 2), ...perClass('test', 3), ...numbered('unlabelled', 5, 30)].sort(),
  );
  expect(result).toEqual({images: files.size});
  expect(Object.keys(kinds).length).toBeGreaterThanOrEqual(10);
  for (const png of files.values())
    expect(await sharp(png).metadata()).toMatchObject({format: 'png', width: 32, height: 32, channels: 3});
});

it('the same seed draws the same bytes, another seed draws other pictures, and no two pictures are alike', async () => {
  const root = await temporaryFolder();
  await drawDemo(taskFor(`${root}/a`), {signal: never, emit: silent});
  await drawDemo(taskFor(`${root}/b`), {signal: never, emit: silent});
  await drawDemo(taskFor(`${root}/c`, {seed: 8}), {signal: never, emit: silent});
  const [a, b, c] = [await filesOf(`${root}/a`), await filesOf(`${root}/b`), await filesOf(`${root}/c`)];
  expect(b).toEqual(a);
  const distinct = new Set([...a.values(), ...c.values()].map(png => png.toString('base64')));
  expect(distinct.size).toBe(a.size + c.size);
});

it('a picture does not depend on how many others are drawn', async () => {
  const root = await temporaryFolder();
  await drawDemo(taskFor(`${root}/few`), {signal: never, emit: silent});
  await drawDemo(taskFor(`${root}/many`, {labelledPerClass: 4, unlabelled: 40}), {signal: never, emit: silent});
  const many = await filesOf(`${root}/many`);
  for (const [name, png] of await filesOf(`${root}/few`)) expect(many.get(name)).toEqual(png);
});

it('progress counts up to what is asked for, and an earlier drawing is replaced whole', async () => {
  const output = `${await temporaryFolder()}/pictures`;
  const reports: number[] = [];
  await drawDemo(taskFor(output, {unlabelled: 900}), {
    signal: never,
    async emit(event) {
      if (event.type === 'progress') reports.push(event.done);
      expect(event).toMatchObject({type: 'progress', total: 950});
    },
  });
  expect(reports).toEqual([...reports].sort((a, b) => a - b));
  await drawDemo(taskFor(output), {signal: never, emit: silent});
  expect((await readdir(`${output}/unlabelled`)).length).toBe(30);
});

it('stopped half-way, it leaves nothing behind', async () => {
  const root = await temporaryFolder();
  const stop = new AbortController();
  // Far more than can be drawn before the first report, which comes after a second.
  const drawing = drawDemo(taskFor(`${root}/pictures`, {unlabelled: 20_000}), {
    signal: stop.signal,
    emit: async () => stop.abort(),
  });
  await expect(drawing).rejects.toThrow('aborted');
  expect(await readdir(root)).toEqual([]);
});

it('stopped half-way, it keeps an earlier drawing as it was', async () => {
  const root = await temporaryFolder();
  await drawDemo(taskFor(`${root}/pictures`), {signal: never, emit: silent});
  const before = await filesOf(`${root}/pictures`);
  await expect(
    drawDemo(taskFor(`${root}/pictures`, {seed: 8}), {signal: AbortSignal.abort(), emit: silent}),
  ).rejects.toThrow();
  expect(await readdir(root)).toEqual(['pictures']);
  expect(await filesOf(`${root}/pictures`)).toEqual(before);
});
