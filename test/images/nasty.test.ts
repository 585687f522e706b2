import {existsSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {describe, expect, it} from 'vitest';
import {z} from 'zod';
import type {Decoding} from '../../src/children/protocol.js';
import {decodeImage} from '../../src/images/decode.js';

/** A folder that holds nasty/ and nasty-index.json: odd files from the test collections of image libraries. */
const collection = process.env['PUPIL_TEST_DATA'] ?? '';
const index = join(collection, 'nasty-index.json');
const isThere = collection !== '' && existsSync(index);
if (!isThere) console.warn('SKIPPED: PUPIL_TEST_DATA names no folder with the collection of odd image files.');

const base: Decoding = {
  size: 32,
  resize: 36,
  shrinkOnLoad: false,
  formats: ['jpeg', 'png', 'webp'],
  maxFileBytes: 20_000_000,
  maxPixels: 50_000_000,
  timeoutSeconds: 5,
};

/**
 * Files that Pillow reads, by guessing what is damaged, and that are set aside here: PNGs with broken data (they
 * inflate to too few or too many bytes, or to a wrong checksum; Pillow 13 takes them only with LOAD_TRUNCATED_IMAGES,
 * and not all of them; no EXIF is to blame), one 12-bit TIFF and GIFs without a frame that libvips does not know, and
 * shapes that are no picture.
 */
const refusedThoughPillowReads = new Map([
  ...[312, 313, 316, 318, 319, 320, 321, 322, 325, 327, 328, 330, 331, 332].map((number): [number, RegExp] => [
    number,
    /CORRUPT|TRUNCATED/,
  ]),
  ...[99, 103, 111, 115, 348].map((number): [number, RegExp] => [number, /CORRUPT|TRUNCATED/]),
  ...[18, 19, 163, 380].map((number): [number, RegExp] => [number, /DEGENERATE_SIZE/]),
]);

describe.skipIf(!isThere)('403 odd files, each decoded or set aside', async () => {
  const files = isThere
    ? z.array(z.object({file: z.string(), tags: z.array(z.string())})).parse(JSON.parse(await readFile(index, 'utf8')))
    : [];

  it.each([
    ['by default', base.formats],
    ['with every format allowed', ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'] as Decoding['formats']],
  ])('%s', async (_, formats) => {
    const decoding = {...base, formats};
    const surprises: string[] = [];
    let decoded = 0;
    for (const {file, tags} of files) {
      const {pixels, problem} = await decodeImage(await readFile(join(collection, 'nasty', file)), 'encoded', decoding);
      const surprise = (what: string) => surprises.push(`${file} (${tags.join(' ')}): ${what}`);
      if (pixels !== null) {
        decoded++;
        if (pixels.length !== 32 * 32 * 3) surprise(`${pixels.length} bytes`);
        if (tags.includes('unidentified') || tags.includes('bomb')) surprise('decoded');
        continue;
      }
      if (problem.detail.length < 4 || problem.detail.includes('\n')) surprise(`detail ${problem.detail}`);
      const isExpected =
        !tags.includes('ok') ||
        problem.code === 'FORMAT_BLOCKED' ||
        refusedThoughPillowReads.get(Number(file.slice(0, 3)))?.test(problem.code);
      if (!isExpected) surprise(`${problem.code} ${problem.detail}`);
      if (problem.code === 'FORMAT_BLOCKED' && /\.(jpe?g|png|webp)$/.test(file) && tags.includes('ok'))
        surprise('blocked');
    }
    expect(surprises).toEqual([]);
    expect(files).toHaveLength(403);
    expect(decoded).toBeGreaterThan(formats.length > 3 ? 100 : 78);
  });
});
