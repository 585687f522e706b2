// Pictures, decoded by the one decoder in a process that may die of them.
import {readFile} from 'node:fs/promises';
import {decodeImage} from '../../../dist/images/decode.js';
import {sealPng} from '../archives.mjs';
import {mutateBytes} from '../mutate.mjs';

const decoding = {
  size: 32,
  resize: 36,
  shrinkOnLoad: false,
  formats: ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'],
  maxFileBytes: 20_000_000,
  maxPixels: 4_000_000,
  timeoutSeconds: 30,
};
const isPng = bytes => bytes.toString('latin1', 1, 4) === 'PNG';

export const pictures = [
  {
    name: 'picture',
    lane: 'decoder',
    share: 14,
    make(random, seeds, isSound) {
      if (isSound) return [['picture', seeds.picture]];
      const bytes = mutateBytes(random, random.pick(seeds.pictures), random.pick(seeds.pictures));
      return [['picture', isPng(bytes) && random.below(2) === 0 ? sealPng(bytes) : bytes]];
    },
    async judge({folder}) {
      const {pixels, problem} = await decodeImage(await readFile(`${folder}/picture`), 'encoded', decoding);
      if (pixels === null) return {kind: `set aside: ${problem.code}`, detail: problem};
      if (pixels.length !== 32 * 32 * 3) throw new RangeError(`${pixels.length} bytes of pixels`);
      return {kind: 'taken', detail: pixels.toString('hex')};
    },
  },
];
