import sharp, {type Sharp} from 'sharp';
import {beforeAll, describe, expect, it} from 'vitest';
import {Lookalikes} from '../../src/images/lookalikes.js';
import {patches} from './pictures.js';

const SIZE = 96;
const names = Array.from({length: 40}, (_, number) => `picture ${number}`);

const decoded = async (picture: Buffer, size = SIZE) =>
  await sharp(picture).resize(size, size, {kernel: 'linear'}).raw().toBuffer();

describe('held-out pictures', () => {
  const known = new Lookalikes();
  let pictures: Buffer[];
  const find = async (picture: Buffer) => known.find(await decoded(picture), SIZE);
  const foundOf = async (change: (picture: Sharp) => Sharp) => {
    const found = await Promise.all(pictures.map(async picture => find(await change(sharp(picture)).toBuffer())));
    return {
      right: found.filter((name, number) => name === names[number]).length,
      wrong: found.filter((name, number) => name !== null && name !== names[number]).length,
    };
  };

  beforeAll(async () => {
    pictures = await Promise.all(names.map(async (_, number) => patches(number)));
    for (const [number, picture] of pictures.entries()) known.add(names[number]!, await decoded(picture), SIZE);
  });

  it.each<[string, (picture: Sharp) => Sharp]>([
    ['as they are', picture => picture],
    ['at half of their size', picture => picture.resize(120, 100)],
    ['at twice their size', picture => picture.resize(480, 400)],
    ['as JPEG of quality 30', picture => picture.jpeg({quality: 30})],
    ['as WebP', picture => picture.webp({quality: 50})],
  ])('are found %s', async (_, change) => {
    expect(await foundOf(change)).toEqual({right: names.length, wrong: 0});
  });

  it.each<[string, (picture: Sharp) => Sharp]>([
    ['mirrored', picture => picture.flop()],
    ['cut to their middle', picture => picture.extract({left: 40, top: 40, width: 160, height: 120})],
    [
      'with red and blue exchanged',
      picture =>
        picture.recomb([
          [0, 0, 1],
          [0, 1, 0],
          [1, 0, 0],
        ]),
    ],
  ])('are other pictures %s', async (_, change) => {
    expect(await foundOf(change)).toEqual({right: 0, wrong: 0});
  });

  it('are not found in pictures that merely are alike', async () => {
    for (let number = 100; number < 140; number++) expect(await find(await patches(number))).toBeNull();
  });

  it('must be told apart by little where there is little in them', async () => {
    const dark = new Lookalikes();
    for (const number of [1, 2, 3]) dark.add(names[number]!, await decoded(await patches(number, 12)), SIZE);
    expect(dark.find(await decoded(await patches(2, 12)), SIZE)).toBe('picture 2');
    for (let number = 100; number < 120; number++)
      expect(dark.find(await decoded(await patches(number, 12)), SIZE)).toBeNull();
  });

  it('are matched by none where nothing is in them, as all empty pictures look the same', () => {
    const empty = new Lookalikes();
    empty.add('black', Buffer.alloc(16 * 16 * 3), 16);
    expect(empty.find(Buffer.alloc(16 * 16 * 3), 16)).toBeNull();
  });

  it('may be smaller than the grid that they are compared in', () => {
    const tiny = new Lookalikes();
    const pixels = Buffer.from(Array.from({length: 4 * 4 * 3}, (_, at) => (at * 37) % 256));
    tiny.add('tiny', pixels, 4);
    expect(tiny.find(pixels, 4)).toBe('tiny');
  });
});
