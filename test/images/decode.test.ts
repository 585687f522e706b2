import {readdir, readFile} from 'node:fs/promises';
import {crc32, deflateSync} from 'node:zlib';
import sharp from 'sharp';
import {describe, expect, it} from 'vitest';
import type {Decoding} from '../../src/children/protocol.js';
import {decodeImage} from '../../src/images/decode.js';
import {cifarRecord, jpeg, pixelsOf, png} from './pictures.js';

const decoding: Decoding = {
  size: 32,
  resize: 32,
  shrinkOnLoad: false,
  formats: ['jpeg', 'png', 'webp'],
  maxFileBytes: 20_000_000,
  maxPixels: 50_000_000,
  timeoutSeconds: 5,
};
const decode = (bytes: Buffer, changes: Partial<Decoding> = {}) =>
  decodeImage(bytes, 'encoded', {...decoding, ...changes});
const raw = (pixels: Buffer, width: number, height: number, channels: 1 | 2 | 3 | 4 = 3) =>
  sharp(pixels, {raw: {width, height, channels}});
const flat = (red: number, green: number, blue: number) =>
  Buffer.concat(Array.from({length: 1024}, () => Buffer.from([red, green, blue])));
/** The mean colour of 32 x 32 pixels. */
const meanOf = (pixels: Buffer) =>
  [0, 1, 2].map(channel =>
    Math.round(pixels.filter((_, i) => i % 3 === channel).reduce((sum, value) => sum + value, 0) / 1024),
  );

describe('the decoder', () => {
  const fixtures = new URL('../fixtures/decode/', import.meta.url);

  it('agrees with Pillow and torchvision to within 2 of 255', async () => {
    const names = (await readdir(fixtures)).filter(
      name => /\.(jpg|png|webp|gif)$/.test(name) && name !== 'enlarged.png',
    );
    expect(names).toHaveLength(10);
    for (const name of names) {
      const expected = await readFile(new URL(`${name}.rgb`, fixtures));
      const {pixels} = await decode(await readFile(new URL(name, fixtures)), {
        resize: 40,
        formats: ['jpeg', 'png', 'webp', 'gif'],
      });
      const differences = Array.from(expected, (value, i) => Math.abs(value - (pixels?.[i] ?? 999)));
      expect(Math.max(...differences), name).toBeLessThanOrEqual(2);
      expect(differences.reduce((sum, value) => sum + value) / differences.length, name).toBeLessThan(0.75);
    }
  });

  it('enlarges small pictures half an output pixel off Pillow, as libvips does', async () => {
    const expected = await readFile(new URL('enlarged.png.rgb', fixtures));
    const {pixels} = await decode(await readFile(new URL('enlarged.png', fixtures)), {resize: 40});
    const mean =
      Array.from(expected, (value, i) => Math.abs(value - (pixels?.[i] ?? 999))).reduce((sum, value) => sum + value) /
      expected.length;
    expect(mean).toBeLessThan(7);
  });

  it('gives the very pixels of a lossless picture that needs no resizing', async () => {
    expect((await decode(await png(5))).pixels).toEqual(pixelsOf(5));
    expect((await decode(await raw(pixelsOf(6), 32, 32).webp({lossless: true}).toBuffer())).pixels).toEqual(
      pixelsOf(6),
    );
  });

  it('gives a CIFAR record as it is, and resizes it by the same recipe', async () => {
    expect((await decodeImage(cifarRecord([], 5), 'cifar', decoding)).pixels).toEqual(pixelsOf(5));
    const changes = {size: 20, resize: 24};
    expect((await decodeImage(cifarRecord([], 5), 'cifar', {...decoding, ...changes})).pixels).toEqual(
      (await decode(await png(5), changes)).pixels,
    );
    expect((await decodeImage(cifarRecord([], 5).subarray(1), 'cifar', decoding)).problem?.code).toBe('BAD_RECORD');
  });

  it('puts transparency on white', async () => {
    const clear = Buffer.alloc(32 * 32 * 4);
    const {pixels} = await decode(await raw(clear, 32, 32, 4).png().toBuffer());
    expect(meanOf(pixels!)).toEqual([255, 255, 255]);
    const half = Buffer.concat(Array.from({length: 1024}, () => Buffer.from([0, 0, 0, 128])));
    expect(
      meanOf((await decode(await raw(half, 32, 32, 4).webp({lossless: true, exact: true}).toBuffer())).pixels!),
    ).toEqual([127, 127, 127]);
  });

  it('makes grey, grey with alpha, 16-bit, palette and CMYK pictures 8-bit RGB', async () => {
    const grey = Buffer.alloc(1024, 200);
    expect(meanOf((await decode(await raw(grey, 32, 32, 1).png().toBuffer())).pixels!)).toEqual([200, 200, 200]);
    const greyAlpha = Buffer.concat(Array.from({length: 1024}, () => Buffer.from([200, 255])));
    expect(meanOf((await decode(await raw(greyAlpha, 32, 32, 2).png().toBuffer())).pixels!)).toEqual([200, 200, 200]);
    const deep = await raw(flat(10, 100, 200), 32, 32)
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    expect((await sharp(deep).metadata()).depth).toBe('ushort');
    expect(meanOf((await decode(deep)).pixels!)).toEqual([10, 100, 200]);
    const deepGrey = await raw(grey, 32, 32, 1).toColourspace('grey16').png().toBuffer();
    expect(meanOf((await decode(deepGrey)).pixels!)).toEqual([200, 200, 200]);
    const palette = await raw(flat(10, 100, 200), 32, 32)
      .png({palette: true})
      .toBuffer();
    expect(meanOf((await decode(palette)).pixels!)).toEqual([10, 100, 200]);
    const cmyk = await raw(flat(250, 250, 250), 32, 32)
      .toColourspace('cmyk')
      .jpeg({quality: 100})
      .toBuffer();
    expect((await sharp(cmyk).metadata()).channels).toBe(4);
    expect(Math.min(...meanOf((await decode(cmyk)).pixels!))).toBeGreaterThan(235);
  });

  it('turns pictures upright before it resizes them', async () => {
    const tall = await raw(pixelsOf(3, 48, 80), 48, 80)
      .jpeg({quality: 100})
      .toBuffer();
    const sideways = await raw(pixelsOf(3, 48, 80), 48, 80)
      .rotate(270)
      .jpeg({quality: 100})
      .withMetadata({orientation: 6})
      .toBuffer();
    expect((await sharp(sideways).metadata()).width).toBe(80);
    const [upright, turned] = [(await decode(tall)).pixels!, (await decode(sideways)).pixels!];
    const difference = upright.reduce((sum, value, i) => sum + Math.abs(value - (turned[i] ?? 0)), 0) / upright.length;
    expect(difference).toBeLessThan(6);
  });

  it('turns nothing for an orientation that stands in XMP alone, as browsers do not', async () => {
    const plain = await raw(pixelsOf(3, 48, 80), 48, 80)
      .jpeg({quality: 100})
      .toBuffer();
    const xmp = Buffer.from(
      'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' +
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>',
      'latin1',
    );
    const segment = Buffer.concat([Buffer.from([0xff, 0xe1, (xmp.length + 2) >> 8, (xmp.length + 2) & 0xff]), xmp]);
    const marked = Buffer.concat([plain.subarray(0, 2), segment, plain.subarray(2)]);
    expect((await sharp(marked).metadata()).xmp?.includes('tiff:Orientation="6"')).toBe(true);
    expect((await decode(marked)).pixels).toEqual((await decode(plain)).pixels);
  });

  it('takes the pixels of a PNG whose EXIF is damaged, wherever that lies', async () => {
    const plain = await png(5);
    const exif = Buffer.from('MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0', 'latin1');
    const cut = exif.subarray(0, 12);
    const inText = (content: Buffer) => Buffer.concat([Buffer.from('Raw profile type exif\0\0', 'latin1'), content]);
    for (const damaged of [
      pngChunk('eXIf', Buffer.from('garbage, garbage, garbage')),
      pngChunk('eXIf', Buffer.alloc(0)),
      pngChunk('eXIf', cut),
      pngChunk('zTXt', inText(Buffer.from('no deflate'))),
      pngChunk('zTXt', inText(deflateSync('\nexif\n  99999999\nzz'))),
    ]) {
      for (const at of [33, plain.length - 12]) {
        const {pixels} = await decode(Buffer.concat([plain.subarray(0, at), damaged, plain.subarray(at)]));
        expect(pixels?.equals(pixelsOf(5)), `${damaged.toString('latin1')} at ${at}`).toBe(true);
      }
    }
    const sound = pngChunk('eXIf', exif);
    expect(
      (await decode(Buffer.concat([plain.subarray(0, 33), sound, plain.subarray(33)]))).pixels?.equals(pixelsOf(5)),
    ).toBe(false);
  });

  it('takes the first frame of an animation', async () => {
    const frames = [flat(255, 0, 0), flat(0, 0, 255)].map(pixels => ({
      input: pixels,
      raw: {width: 32, height: 32, channels: 3 as const},
    }));
    const webp = await sharp(await Promise.all(frames.map(({input, raw}) => sharp(input, {raw}).png().toBuffer())), {
      join: {animated: true},
    })
      .webp({lossless: true})
      .toBuffer();
    expect((await sharp(webp).metadata()).pages).toBe(2);
    expect(meanOf((await decode(webp)).pixels!)).toEqual([255, 0, 0]);
  });

  it('reads more formats where they are asked for', async () => {
    const picture = raw(flat(10, 100, 200), 32, 32);
    const files = {
      gif: await picture.gif().toBuffer(),
      tiff: await picture.tiff({compression: 'lzw'}).toBuffer(),
      avif: await picture.avif({lossless: true}).toBuffer(),
    };
    for (const [format, bytes] of Object.entries(files)) {
      expect(meanOf((await decode(bytes, {formats: [format as keyof typeof files]})).pixels!), format).toEqual([
        10, 100, 200,
      ]);
      expect((await decode(bytes)).problem?.code, format).toBe('FORMAT_BLOCKED');
    }
  });

  it('decodes the same at once as one by one', async () => {
    const pictures = await Promise.all(Array.from({length: 20}, (_, i) => jpeg(i, 50 + i, 90 - i)));
    const oneByOne = [];
    for (const picture of pictures) oneByOne.push((await decode(picture)).pixels);
    expect((await Promise.all(pictures.map(picture => decode(picture)))).map(({pixels}) => pixels)).toEqual(oneByOne);
  });
});

function pngChunk(type: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), content]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(content.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

/** A PNG of any size that its header states, with almost no bytes in it. */
function pngHeader(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', Buffer.from('x')),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

describe('what is no picture, or not a whole one, is set aside with a reason', () => {
  const svg =
    '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>';
  const cases: [what: string, bytes: () => Promise<Buffer> | Buffer, code: string, changes?: Partial<Decoding>][] = [
    ['an empty file', () => Buffer.alloc(0), 'EMPTY_FILE'],
    ['a web page', () => Buffer.from('<!DOCTYPE html><html><body>404</body></html>'), 'NOT_AN_IMAGE'],
    ['zeros', () => Buffer.alloc(1000), 'NOT_AN_IMAGE'],
    ['one byte', () => Buffer.from([0xff]), 'NOT_AN_IMAGE'],
    ['an SVG', () => Buffer.from(svg), 'FORMAT_BLOCKED'],
    [
      'an SVG, even if every format is allowed',
      () => Buffer.from(svg),
      'FORMAT_BLOCKED',
      {formats: ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif']},
    ],
    ['a PDF', () => Buffer.from('%PDF-1.7\n'), 'FORMAT_BLOCKED'],
    ['a GIF', () => raw(pixelsOf(1), 32, 32).gif().toBuffer(), 'FORMAT_BLOCKED'],
    ['a TIFF', () => raw(pixelsOf(1), 32, 32).tiff().toBuffer(), 'FORMAT_BLOCKED'],
    ['a PNG where only JPEG is allowed', () => png(1), 'FORMAT_BLOCKED', {formats: ['jpeg']}],
    ['a JPEG without its end', async () => (await jpeg(1, 200, 200)).subarray(0, 2500), 'TRUNCATED'],
    ['a JPEG of its first 20 bytes', async () => (await jpeg(1, 200, 200)).subarray(0, 20), 'TRUNCATED'],
    ['a PNG without its end', async () => (await png(1, 200, 200)).subarray(0, 2000), 'TRUNCATED'],
    [
      'a WebP without its end',
      async () =>
        (
          await raw(pixelsOf(1, 200, 200), 200, 200)
            .webp()
            .toBuffer()
        ).subarray(0, 500),
      'TRUNCATED',
    ],
    [
      'a GIF without its end',
      async () =>
        (
          await raw(pixelsOf(1, 200, 200), 200, 200)
            .gif()
            .toBuffer()
        ).subarray(0, 500),
      'TRUNCATED',
      {formats: ['gif']},
    ],
    [
      'a PNG with a byte changed',
      async () => {
        const bytes = await png(1, 200, 200);
        bytes[Math.floor(bytes.length / 2)]! ^= 0xff;
        return bytes;
      },
      'CORRUPT',
    ],
    ['a picture of too many pixels', () => png(1, 200, 200), 'TOO_MANY_PIXELS', {maxPixels: 39_999}],
    ['a bomb: 60000 x 60000 in a few bytes', () => pngHeader(60_000, 60_000), 'TOO_MANY_PIXELS'],
    ['a file of too many bytes', () => png(1), 'FILE_TOO_LARGE', {maxFileBytes: 100}],
    ['a picture of 1 x 1', () => png(1, 1, 1), 'DEGENERATE_SIZE'],
    ['a picture of 20000 x 1', () => png(1, 20_000, 1), 'DEGENERATE_SIZE'],
    ['a picture of 2 x 200', () => png(1, 2, 200), 'DEGENERATE_SIZE'],
  ];
  it.each(cases)('%s', async (_, bytes, code, changes) => {
    const {pixels, problem} = await decode(await bytes(), changes);
    expect(problem?.code).toBe(code);
    expect(problem?.detail).toMatch(/^.{4,200}$/);
    expect(pixels).toBeNull();
  });

  it('tells what a file that is no image begins with', async () => {
    expect((await decode(Buffer.from('<html>\x00rest of it'))).problem).toEqual({
      code: 'NOT_AN_IMAGE',
      detail: 'begins with "<html>\\u0000rest of i"',
    });
  });
});

describe('mutated pictures', () => {
  it('never crash the decoder: 2,000 of them are decoded or set aside, and memory stays flat', async () => {
    const originals = [
      await jpeg(1, 60, 40),
      await png(2, 60, 40),
      await raw(pixelsOf(3, 60, 40), 60, 40)
        .webp()
        .toBuffer(),
      await raw(pixelsOf(4, 60, 40), 60, 40)
        .jpeg({progressive: true})
        .toBuffer(),
    ];
    let seed = 1;
    const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
    const outcomes = new Map<string, number>();
    let before = 0;
    for (let round = 0; round < 2000; round++) {
      const bytes = Buffer.from(originals[round % originals.length]!);
      for (let change = random(8); change >= 0; change--) bytes[random(bytes.length)] = random(256);
      const {problem} = await decode(random(10) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes);
      const outcome = problem?.code ?? 'decoded';
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (round === 500) before = process.memoryUsage.rss();
    }
    expect(outcomes.get('decoded')).toBeGreaterThan(100);
    expect(outcomes.get('CORRUPT')).toBeGreaterThan(10);
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024);
  });
});
