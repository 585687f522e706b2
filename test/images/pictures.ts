/** Small real pictures, each different and each made again from its number alone. */
import {mkdir, writeFile} from 'node:fs/promises';
import {dirname} from 'node:path';
import {crc32, deflateSync} from 'node:zlib';
import sharp from 'sharp';

/** Raw RGB pixels: a sheet of colour with a gradient, decided by `number`. */
export function pixelsOf(number: number, width = 32, height = 32): Buffer {
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        pixels[(y * width + x) * 3 + channel] = (number * (37 + 11 * channel) + x * (channel + 1) + y * 2) % 256;
      }
    }
  }
  return pixels;
}

export const png = (number: number, width = 32, height = 32): Promise<Buffer> =>
  sharp(pixelsOf(number, width, height), {raw: {width, height, channels: 3}})
    .png()
    .toBuffer();

export const jpeg = (number: number, width = 32, height = 32): Promise<Buffer> =>
  sharp(pixelsOf(number, width, height), {raw: {width, height, channels: 3}})
    .jpeg()
    .toBuffer();

/** A black PNG of `side` x `side` pixels, a bit each: a small file that takes long to decode. */
export function hugePng(side: number): Buffer {
  const chunk = (name: string, content: Buffer) => {
    const [length, body, sum] = [
      Buffer.alloc(4),
      Buffer.concat([Buffer.from(name, 'latin1'), content]),
      Buffer.alloc(4),
    ];
    length.writeUInt32BE(content.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header[8] = 1; // Bits a pixel.
  const rows = deflateSync(Buffer.alloc(side * (1 + Math.ceil(side / 8))), {level: 1});
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', rows),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A picture of soft patches of colour, decided by its number, 240 x 200 pixels as PNG. */
export async function patches(number: number, brightest = 255): Promise<Buffer> {
  let state = number * 2654435761 + 1;
  const coarse = Buffer.from(
    Array.from({length: 6 * 5 * 3}, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return ((state >>> 24) * brightest) / 255;
    }),
  );
  return await sharp(coarse, {raw: {width: 6, height: 5, channels: 3}})
    .resize(240, 200, {kernel: 'cubic', fit: 'fill'})
    .png()
    .toBuffer();
}

/** Writes a file and the folders above it. */
export async function put(path: string, bytes: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), {recursive: true});
  await writeFile(path, bytes);
}

/** A record of a CIFAR binary: label bytes, then the red, green and blue planes of picture `number`. */
export function cifarRecord(labels: number[], number: number): Buffer {
  const pixels = pixelsOf(number);
  const planes = Buffer.alloc(pixels.length);
  for (let i = 0; i < 1024; i++)
    for (let channel = 0; channel < 3; channel++) planes[channel * 1024 + i] = pixels[i * 3 + channel] ?? 0;
  return Buffer.concat([Buffer.from(labels), planes]);
}
