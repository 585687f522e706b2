import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {describe, expect, it} from 'vitest';
import {z} from 'zod';
import {temporaryFolder} from '../images/temporary-folder.js';

const bench = fileURLToPath(new URL('../../bench/select.mjs', import.meta.url));

const figure = z.number().positive();
const printed = z.object({
  images: figure,
  ours: z.object({
    selectingUs: figure,
    placesMb: figure,
    peakMb: figure,
    imagesPerSecond: figure,
    rows: figure,
    rowsSeconds: figure,
    databaseMb: figure,
    lookMs: figure,
    paperPoolCpuSeconds: figure,
  }),
  peer: z.object({ratios: z.object({seconds: figure, cpuSeconds: figure, peakMb: figure})}).nullable(),
});

/** Starts it with a folder for its temporary files. */
async function start(...args: string[]) {
  const folder = await temporaryFolder();
  const child = spawn(process.execPath, [bench, ...args], {env: {...process.env, TMPDIR: folder}});
  const said = {stdout: '', stderr: ''};
  child.stdout.on('data', data => (said.stdout += String(data)));
  child.stderr.on('data', data => (said.stderr += String(data)));
  const closed = once(child, 'close') as Promise<[number | null]>;
  return {folder, child, ended: closed.then(([code]) => ({code, ...said}))};
}

describe('bench:select', () => {
  it('measures selection on score files, finds with numpy the same, and leaves nothing behind', async () => {
    const {folder, ended} = await start('--images', '20000', '--json');
    const {code, stdout, stderr} = await ended;
    expect(code, stderr).toBe(0);
    const {images, ours, peer} = printed.parse(JSON.parse(stdout));
    expect({images, rows: ours.rows}).toEqual({images: 20_000, rows: 200_000});
    expect(peer === null).toBe(stderr.includes('has no pyarrow'));
    expect(readdirSync(folder)).toEqual([]);
  });

  it('stopped with Ctrl-C removes what it wrote', async () => {
    const {folder, child, ended} = await start('--images', '100000000');
    while (!readdirSync(folder, {recursive: true}).some(name => String(name).endsWith('.parquet')))
      await new Promise(resolve => setTimeout(resolve, 50));
    child.kill('SIGINT');
    expect((await ended).code).toBe(130);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('asked for no number of images says what it expects', async () => {
    const {code, stderr} = await (await start('--images', 'many')).ended;
    expect({code, stderr}).toEqual({code: 2, stderr: '--images must be a whole number above 0, found many\n'});
  });
});
