import {readdir, readFile} from 'node:fs/promises';
import path from 'node:path';
import sharp, {type Sharp} from 'sharp';
import {describe, expect, it} from 'vitest';
import type {Decoding} from '../../src/children/protocol.js';
import {decodeImage} from '../../src/images/decode.js';
import {headerSize} from '../../src/images/header-size.js';
import {pixelsOf} from './pictures.js';

const [width, height] = [70, 50];
const picture = (): Sharp => sharp(pixelsOf(7, width, height), {raw: {width, height, channels: 3}});
const decoding: Decoding = {
  size: 32,
  resize: 36,
  shrinkOnLoad: false,
  formats: ['jpeg', 'png'],
  maxFileBytes: 1e6,
  maxPixels: 1e6,
  timeoutSeconds: 5,
};

const photos = path.join(process.env['PUPIL_TEST_DATA'] ?? '', 'photos');
const arePhotosThere =
  (process.env['PUPIL_TEST_DATA'] ?? '') !== '' && (await readdir(photos).catch(() => [])).length > 0;
if (!arePhotosThere)
  console.warn('SKIPPED: PUPIL_TEST_DATA names no folder with photos, so headers of real photos are not read.');

describe('the size in a header', () => {
  it.each<[string, string, Sharp]>([
    ['jpeg', 'baseline', picture().jpeg()],
    ['jpeg', 'progressive', picture().jpeg({progressive: true})],
    ['jpeg', 'grey', picture().greyscale().jpeg()],
    ['jpeg', 'with a colour profile', picture().withIccProfile('p3').jpeg()],
    ['jpeg', 'with XMP', picture().withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"/>').jpeg()],
    ['png', 'of full colour', picture().png()],
    ['png', 'with alpha', picture().ensureAlpha(0.5).png()],
    ['png', 'with a palette', picture().png({palette: true})],
    ['png', 'of 16 bits', picture().toColourspace('rgb16').png()],
    ['png', 'interlaced', picture().png({progressive: true})],
    ['png', 'with a colour profile', picture().withIccProfile('p3').png()],
  ])('is that of a %s %s', async (format, _, image) => {
    expect(headerSize(await image.toBuffer(), format)).toEqual({width, height});
  });

  it.each<[string, string, Sharp]>([
    ['jpeg', 'four inks', picture().toColourspace('cmyk').jpeg()],
    [
      'jpeg',
      'EXIF',
      picture()
        .withExif({IFD0: {Artist: 'me'}})
        .jpeg(),
    ],
    ['jpeg', 'EXIF that turns it', picture().withMetadata({orientation: 6}).jpeg()],
    [
      'png',
      'EXIF',
      picture()
        .withExif({IFD0: {Artist: 'me'}})
        .png(),
    ],
    ['png', 'EXIF that turns it', picture().withMetadata({orientation: 6}).png()],
    ['png', 'text, which may be EXIF', picture().withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"/>').png()],
    ['webp', 'any header', picture().webp()],
  ])('is left to the decoder in a %s with %s', async (format, _, image) => {
    expect(headerSize(await image.toBuffer(), format)).toBe(null);
  });

  it('is left to the decoder wherever the header is cut off, and in a header of zeros', async () => {
    for (const [format, image] of [
      ['jpeg', picture().jpeg()],
      ['png', picture().png()],
    ] as const) {
      const bytes = await image.toBuffer();
      const sizeAt = format === 'jpeg' ? bytes.indexOf('\xff\xc0', 0, 'latin1') + 5 : 16;
      const header = bytes.indexOf(format === 'jpeg' ? '\xff\xda' : 'IEND', 0, 'latin1');
      for (let end = 8; end < header; end++) expect(headerSize(bytes.subarray(0, end), format)).toBe(null);
      expect(headerSize(Buffer.from(bytes).fill(0, sizeAt, sizeAt + 4), format)).toBe(null);
      expect(headerSize(Buffer.from(bytes).fill(0, 8), format)).toBe(null);
    }
  });

  it('is left to the decoder where a JPEG has its EXIF only after the frame header', async () => {
    const [plain, turned] = await Promise.all([
      picture().jpeg().toBuffer(),
      picture().withMetadata({orientation: 6}).jpeg().toBuffer(),
    ]);
    const exifAt = turned.indexOf('\xff\xe1', 0, 'latin1');
    const exif = turned.subarray(exifAt, exifAt + 2 + turned.readUInt16BE(exifAt + 2));
    const scanAt = plain.indexOf('\xff\xda', 0, 'latin1');
    const odd = Buffer.concat([plain.subarray(0, scanAt), exif, plain.subarray(scanAt)]);
    expect((await sharp(odd).metadata()).orientation).toBe(6);
    expect(headerSize(odd, 'jpeg')).toBe(null);
  });

  it('is one that pictures are decoded by to the same pixels as by asking the decoder', async () => {
    const withoutDirection = {IFD0: {Artist: 'me'}};
    for (const [plain, asked] of [
      [picture().jpeg(), picture().withExif(withoutDirection).jpeg()],
      [picture().png(), picture().withExif(withoutDirection).png()],
    ] as const) {
      const {pixels} = await decodeImage(await plain.toBuffer(), 'encoded', decoding);
      expect(pixels).toHaveLength(32 * 32 * 3);
      expect((await decodeImage(await asked.toBuffer(), 'encoded', decoding)).pixels).toEqual(pixels);
    }
  });

  it.skipIf(!arePhotosThere)('is what the decoder says of each photo that tells it', async () => {
    let told = 0;
    for (const name of await readdir(photos)) {
      const bytes = await readFile(path.join(photos, name));
      const size = headerSize(bytes, 'jpeg');
      if (size === null) continue;
      told++;
      const {orientation = 1, ...stored} = await sharp(bytes).metadata();
      expect([name, orientation, size]).toEqual([name, 1, {width: stored.width, height: stored.height}]);
    }
    expect(told).toBeGreaterThan(200);
  });
});
