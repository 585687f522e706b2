/** Real pictures of 32 px, out of tars whose members are mosaics of them, row by row. */
import {open} from 'node:fs/promises';
import sharp from 'sharp';
import {readTar} from '../../src/images/tar.js';

const SIDE = 32;

/** The members of a tar whose names end so, in the archive's order. */
export async function* mosaicsOf(tar: string, ending: string): AsyncGenerator<{name: string; mosaic: Buffer}> {
  const file = await open(tar);
  try {
    for await (const {name, offset, size} of readTar(file, new AbortController().signal)) {
      if (!name.endsWith(ending)) continue;
      const {buffer} = await file.read(Buffer.alloc(size), 0, size, offset);
      yield {name, mosaic: buffer};
    }
  } finally {
    await file.close();
  }
}

/** The pictures at these places of a mosaic, counted from 0, as PNG files. */
export async function picturesOf(mosaic: Buffer, places: readonly number[]): Promise<Buffer[]> {
  const {data, info} = await sharp(mosaic)
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({resolveWithObject: true});
  const {width, height} = info;
  const columns = width / SIDE;
  const cut = async (place: number) =>
    await sharp(data, {raw: {width, height, channels: 3}})
      .extract({left: (place % columns) * SIDE, top: Math.floor(place / columns) * SIDE, width: SIDE, height: SIDE})
      .png({compressionLevel: 1})
      .toBuffer();
  return await Promise.all(places.map(cut));
}
