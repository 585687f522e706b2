import {describe, expect, it} from 'vitest';
import {compareIds, idAt, idBytes, packIds, putId, rowOf, unpackIds} from '../../src/ranking/image-ids.js';

const images = [
  '0123456789abcdef01234567',
  'ffffffff0000000000000000',
  '000000000000000000000000',
  '8000000000000000ffffffff',
  '800000000000000080000000',
];

describe('packed image ids', () => {
  it('give back the hex and the bytes that they were packed from', () => {
    const ids = packIds(images);
    expect(unpackIds(ids)).toEqual(images);
    expect(idAt(ids, 3)).toBe(images[3]);
    expect(idBytes(ids).toString('hex')).toBe(images.join(''));
  });

  it('are ordered as their hex is', () => {
    const ids = packIds(images);
    const rows = [...images.keys()].sort((a, b) => compareIds(ids, a, ids, b));
    expect(rows.map(row => images[row])).toEqual([...images].sort());
    expect(compareIds(ids, 1, packIds([images[1]!]), 0)).toBe(0);
  });

  it('are found by their hex', () => {
    const ids = packIds(images);
    expect(images.map(image => rowOf(ids, image))).toEqual([0, 1, 2, 3, 4]);
    expect(rowOf(ids, '800000000000000080000001')).toBe(-1);
  });

  it.each(['0123', '0123456789ABCDEF01234567', '0123456789abcdef0123456g', '0123456789abcdef012345678'])(
    'are never made of %s',
    image => {
      expect(() => putId(new Uint32Array(3), 0, Buffer.from(image))).toThrow(
        `expected an image id of 24 hex digits, found "${image}"`,
      );
    },
  );
});
