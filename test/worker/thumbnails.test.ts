import {readFile} from 'node:fs/promises';
import sharp from 'sharp';
import {expect, it} from 'vitest';
import {writePack} from '../../src/images/pack.js';
import {pixelsOf} from '../images/pictures.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {resultOf} from './worker-process.js';

const id = (i: number) => i.toString(16).padStart(24, '0');

it('thumbnails are small pictures of the rows asked for, by id', async () => {
  const root = await temporaryFolder();
  async function* rows() {
    for (let i = 0; i < 20; i++) yield {id: id(i), pixels: pixelsOf(i, 64, 64), labels: [0], answers: null};
  }
  await writePack(`${root}/pack`, {size: 64, classes: ['a'], kept: 0}, rows());
  const {result} = await resultOf('thumbnails', {
    pack: `${root}/pack`,
    ids: [id(3), id(17), id(99)],
    size: 48,
    output: `${root}/thumbnails.json`,
  });
  expect(result).toEqual({images: 2});
  const thumbnails = new Map(
    Object.entries(JSON.parse(await readFile(`${root}/thumbnails.json`, 'utf8')) as Record<string, string>),
  );
  expect([...thumbnails.keys()].sort()).toEqual([id(3), id(17)]);
  const uri = thumbnails.get(id(17)) ?? '';
  expect(uri).toMatch(/^data:image\/webp;base64,/);
  const picture = Buffer.from(uri.split(',')[1] ?? '', 'base64');
  expect(await sharp(picture).metadata()).toMatchObject({width: 48, height: 48, format: 'webp'});
});
