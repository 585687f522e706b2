import sharp from 'sharp';
import {expect, it} from 'vitest';
import {decodeImage} from '../../src/images/decode.js';
import {openDecoder} from '../../src/worker/decoder.js';
import {jpeg, pixelsOf, png} from '../images/pictures.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {decoding} from './worker-process.js';

/** Pictures of three formats, damaged in many ways. */
async function broken(count: number): Promise<Buffer[]> {
  const webp = sharp(pixelsOf(3, 60, 40), {raw: {width: 60, height: 40, channels: 3}}).webp();
  const originals = [await jpeg(1, 60, 40), await png(2, 60, 40), await webp.toBuffer()];
  let seed = 7;
  const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  return Array.from({length: count}, (_, number) => {
    const bytes = Buffer.from(originals[number % originals.length]!);
    for (let change = random(12); change >= 0; change--) bytes[4 + random(bytes.length - 4)] = random(256);
    return random(3) === 0 ? bytes.subarray(0, 8 + random(bytes.length - 8)) : bytes;
  });
}

it('tells of many broken pictures decoded at once the reasons that each has alone, time after time', async () => {
  const pictures = await broken(400);
  const expected = [];
  for (const bytes of pictures) expected.push((await decodeImage(bytes, 'encoded', decoding)).problem);
  expect(new Set(expected.map(problem => problem?.detail)).size).toBeGreaterThan(5);

  const folder = await temporaryFolder();
  for (let time = 0; time < 2; time++) {
    const precautions = {inHand: `${folder}/in-hand.json`, culprits: []};
    const decoder = openDecoder(
      {decoding, threads: 8, precautions, signal: new AbortController().signal},
      {decoding: 0},
    );
    const place = (number: number) => ({
      id: null,
      file: `/${number}`,
      offset: null,
      length: null,
      encoding: 'encoded' as const,
    });
    const decoded = await Promise.all(pictures.map((bytes, number) => decoder.decode(place(number), bytes)));
    decoder.close();
    expect(decoded.map(({problem}) => problem)).toEqual(expected);
  }
});
