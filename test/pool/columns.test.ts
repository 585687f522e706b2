import {describe, expect, it} from 'vitest';
import {UserError} from '../../src/errors.js';
import {columnsOf, encodeColumns, sealed} from '../../src/pool/columns.js';

const columns = {
  ids: {kind: 'hashes', values: Uint32Array.of(0xffffffff, 0, 7)},
  file: {kind: 'words', values: Uint32Array.of(5, 0, 0xffffffff, 5)},
  offset: {kind: 'numbers', values: Float64Array.of(0, 2 ** 53, 1, 2 ** 32, 2 ** 32 - 1)},
  stamp: {kind: 'stamps', values: BigUint64Array.of(0n, 2n ** 64n - 1n)},
  names: {kind: 'texts', values: ['a b', '', 'ch\u00e2teau#1']},
  none: {kind: 'texts', values: []},
} as const;

describe('columns', () => {
  it('are what they were, of every kind', () => {
    const read = columnsOf('file', encodeColumns(columns));
    for (const [name, {kind, values}] of Object.entries(columns)) expect(read(name, kind)).toEqual(values);
    expect(read('other', 'words')).toBe(null);
  });

  it('that rise evenly take a byte a number or less', () => {
    const rows = 100_000;
    const offset = {kind: 'numbers', values: Float64Array.from({length: rows}, (_, row) => row * 3074 + 2)} as const;
    expect(encodeColumns({offset}).length).toBeLessThan(rows / 4);
  });

  it('that are damaged are refused by the name of their file', () => {
    const whole = encodeColumns(columns);
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from('something else'),
      whole.subarray(0, whole.length - 1),
      Buffer.concat([whole, Buffer.of(0)]),
    ])
      expect(() => columnsOf('pool/0.ids', bytes)).toThrow(UserError);
    for (let at = 0; at < whole.length; at++) {
      const garbled = Buffer.from(whole);
      garbled[at]! ^= 1;
      expect(() => columnsOf('pool/0.ids', garbled)).toThrow(/^pool\/0\.ids is damaged/);
    }
    expect(() => columnsOf('pool/0.ids', whole)('ids', 'words')).toThrow(/column ids holds hashes, expected words/);
    const unsound = sealed(Buffer.from('[{"name":"a","kind":"words","length":9,"bytes":3}]\nabc'));
    expect(() => columnsOf('pool/0.ids', unsound)('a', 'words')).toThrow(UserError);
  });
});
