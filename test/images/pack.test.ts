import {readdir, readFile, truncate, writeFile} from 'node:fs/promises';
import {describe, expect, it} from 'vitest';
import {openPack, writePack, type PackRow} from '../../src/images/pack.js';
import {pixelsOf} from './pictures.js';
import {temporaryFolder} from './temporary-folder.js';

const classes = ['ant', 'bee', 'cat'];
async function* rows(count: number, failAt = Infinity): AsyncGenerator<PackRow> {
  for (let i = 0; i < count; i++) {
    if (i === failAt) throw new Error('the source failed');
    yield {
      id: i.toString(16).padStart(24, '0'),
      pixels: pixelsOf(i, 8, 8),
      labels: i % 2 === 0 ? [i % 3] : [0, 2],
      answers: null,
    };
  }
}

describe('a pack', () => {
  it('gives back what was put in, an image under several labels included', async () => {
    const path = `${await temporaryFolder()}/deep/pack`;
    expect(await writePack(path, {size: 8, classes: classes, kept: 0}, rows(5))).toEqual({
      version: 2,
      images: 5,
      samples: 7,
      kept: 0,
      size: 8,
      classes,
    });
    expect((await readdir(path)).sort()).toEqual(['ids.txt', 'images.u8', 'pack.json', 'samples.i32']);

    const pack = await openPack(path);
    expect([...pack.samplePairs]).toEqual([0, 0, 1, 0, 1, 2, 2, 2, 3, 0, 3, 2, 4, 1]);
    const into = Buffer.alloc(2 * 192);
    await pack.readRows(3, 2, into);
    expect(into).toEqual(Buffer.concat([pixelsOf(3, 8, 8), pixelsOf(4, 8, 8)]));
    const ids = [];
    for await (const id of pack.ids()) ids.push(id);
    expect(ids).toEqual(Array.from({length: 5}, (_, i) => i.toString(16).padStart(24, '0')));
    await pack.close();
  });

  it('has the layout that the trainer maps: rows of bytes, pairs of int32, ids by line', async () => {
    const path = `${await temporaryFolder()}/pack`;
    await writePack(path, {size: 8, classes: classes, kept: 0}, rows(2));
    expect(await readFile(`${path}/images.u8`)).toEqual(Buffer.concat([pixelsOf(0, 8, 8), pixelsOf(1, 8, 8)]));
    expect([...new Int32Array(new Uint8Array(await readFile(`${path}/samples.i32`)).buffer)]).toEqual([
      0, 0, 1, 0, 1, 2,
    ]);
    expect(await readFile(`${path}/ids.txt`, 'utf8')).toBe(`${'0'.repeat(24)}\n${'0'.repeat(23)}1\n`);
    expect(JSON.parse(await readFile(`${path}/pack.json`, 'utf8'))).toEqual({
      version: 2,
      images: 2,
      samples: 3,
      kept: 0,
      size: 8,
      classes,
    });
  });

  it("holds the teacher's answers to each image where it is to", async () => {
    const path = `${await temporaryFolder()}/pack`;
    async function* answered(): AsyncGenerator<PackRow> {
      for await (const row of rows(2)) yield {...row, answers: {classes: [2, Number(row.id)], logProbs: [-0.25, -1.5]}};
    }
    expect(await writePack(path, {size: 8, classes, kept: 2}, answered())).toMatchObject({images: 2, kept: 2});
    const file = async (name: string) => new Uint8Array(await readFile(`${path}/${name}`)).buffer;
    expect([...new Int32Array(await file('classes.i32'))]).toEqual([2, 0, 2, 1]);
    expect([...new Float32Array(await file('log_prob.f32'))]).toEqual([-0.25, -1.5, -0.25, -1.5]);
    await expect(writePack(path, {size: 8, classes, kept: 3}, answered())).rejects.toThrow(
      '2 answers of the teacher to a pack of 3 each',
    );
  });

  it('may be empty, and replaces the one before', async () => {
    const path = `${await temporaryFolder()}/pack`;
    await writePack(path, {size: 8, classes: classes, kept: 0}, rows(5));
    await writePack(path, {size: 4, classes: [], kept: 0}, rows(0));
    const pack = await openPack(path);
    expect(pack).toMatchObject({images: 0, samples: 0, size: 4});
    await pack.close();
  });

  it('does not appear, nor touches the one before, when its images fail half-way', async () => {
    const folder = await temporaryFolder();
    await writePack(`${folder}/pack`, {size: 8, classes: classes, kept: 0}, rows(2));
    await expect(writePack(`${folder}/pack`, {size: 8, classes: classes, kept: 0}, rows(9, 5))).rejects.toThrow(
      'the source failed',
    );
    expect(await readdir(folder)).toEqual(['pack']);
    const pack = await openPack(`${folder}/pack`);
    expect(pack.images).toBe(2);
    await pack.close();
  });

  it('that is damaged is refused by name', async () => {
    const path = `${await temporaryFolder()}/pack`;
    await expect(openPack(path)).rejects.toThrow(/is no pack/);
    await writePack(path, {size: 8, classes: classes, kept: 0}, rows(3));
    await truncate(`${path}/images.u8`, 100);
    await expect(openPack(path)).rejects.toThrow(/images\.u8 has 100 bytes; expected 576/);
    await writeFile(`${path}/pack.json`, '{"version": 3}');
    await expect(openPack(path)).rejects.toThrow(/pack\.json cannot be read/);
  });
});
