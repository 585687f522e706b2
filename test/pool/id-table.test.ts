import path from 'node:path';
import {describe, expect, it} from 'vitest';
import {
  bitsFor,
  idsWithPrefix,
  isWhole,
  numbersOf,
  openSpread,
  openTable,
  partOf,
  partsOf,
  RECORD_WORDS,
  sortedById,
  tableFiles,
  writeTable,
  type IdTable,
} from '../../src/pool/id-table.js';
import {appendFileSync} from 'node:fs';
import {ID_WORDS, packIds, unpackIds} from '../../src/ranking/image-ids.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {imageId} from '../store/new-store.js';

const recordOf = (id: string, number: number): number[] => [...packIds([id]), number];
const idsIn = (records: Uint32Array): string[] =>
  Array.from({length: records.length / RECORD_WORDS}, (_, row) =>
    unpackIds(records.slice(row * RECORD_WORDS, row * RECORD_WORDS + ID_WORDS)).join(),
  );

/** A table of the pictures 0, 1, 2 ..., each with its own number. */
async function tableOf(rows: number, bits: number): Promise<IdTable> {
  const folder = await temporaryFolder();
  const spread = openSpread(path.join(folder, 'spread'), partsOf(bits));
  for (let number = 0; number < rows; number++) {
    const record = Uint32Array.from(recordOf(imageId(number), number));
    spread.add(partOf(record[0]!, bits), record, 0);
  }
  const table = await writeTable(path.join(folder, 'table'), bits, part =>
    Promise.resolve(sortedById(spread.part(part), bits)),
  );
  spread.close();
  return table;
}
const inOrder = (rows: number): string[] => Array.from({length: rows}, (_, number) => imageId(number)).sort();

describe('records', () => {
  it.each([0, 1, 5])('of a part that %s bits tell come in the order of their ids', bits => {
    const ids = inOrder(5000).filter(id => partOf(packIds([id])[0]!, bits) === partsOf(bits) - 1);
    const mixed = ids.toSorted((a, b) => (a.slice(12) < b.slice(12) ? -1 : 1));
    const sorted = sortedById(Uint32Array.from(mixed.flatMap(id => recordOf(id, 0))), bits);
    expect(idsIn(sorted)).toEqual(ids);
  });

  it('of ids that only differ at their ends are told apart, and those of one id stay as they came', () => {
    const ids = ['f', '1', 'f', 'e', '0'].map(end => `${'ab'.repeat(11)}0${end}`);
    const sorted = sortedById(Uint32Array.from(ids.flatMap((id, number) => recordOf(id, number))), 0);
    expect(Array.from({length: 5}, (_, row) => sorted[row * RECORD_WORDS + ID_WORDS])).toEqual([4, 1, 3, 0, 2]);
  });
});

describe('a table', () => {
  it.each([
    [3, 3],
    [3, 0],
    [3, 6],
    [0, 2],
  ])('that was written in parts of %s bits is read in parts of %s', async (written, read) => {
    const part = openTable(await tableOf(3000, written), read);
    const found: string[] = [];
    for (let number = 0; number < partsOf(read); number++) found.push(...idsIn(await part(number)));
    expect(found).toEqual(inOrder(3000));
  });

  it('tells the number of an id, and ids by their beginnings', async () => {
    const table = await tableOf(3000, 4);
    expect(await numbersOf(table, packIds([imageId(1234)]))).toEqual([1234]);
    expect(await numbersOf(table, packIds([imageId('no picture')]))).toEqual([]);
    const prefixed = (prefix: string) => inOrder(3000).filter(id => id.startsWith(prefix));
    for (const prefix of [imageId(7), imageId(7).slice(0, 6), imageId(7).slice(0, 2), '0', 'f', ''])
      expect(unpackIds(await idsWithPrefix(table, prefix, 3))).toEqual(prefixed(prefix).slice(0, 3));
  });

  it('knows whether its files are those that were written', async () => {
    const table = await tableOf(100, 2);
    expect(await isWhole(table)).toBe(true);
    appendFileSync(tableFiles(table)[1]!, ' ');
    expect(await isWhole(table)).toBe(false);
  });

  it('has parts of some ten thousand rows, however many there are', () => {
    expect([0, 1, 65_536, 65_537, 10_000_000].map(bitsFor)).toEqual([0, 0, 0, 1, 8]);
  });
});

it('records that are spread come back whole and in order, whether they waited or were written', async () => {
  const spread = openSpread(path.join(await temporaryFolder(), 'spread'), 3);
  const rows = 20_000;
  for (let row = 0; row < rows; row++) spread.add(row % 3, Uint32Array.of(row, row + 1, row + 2, row + 3), 0);
  for (const part of [2, 0, 1]) {
    const found = spread.part(part);
    expect(Array.from({length: found.length / RECORD_WORDS}, (_, row) => found[row * RECORD_WORDS])).toEqual(
      Array.from({length: rows}, (_, row) => row).filter(row => row % 3 === part),
    );
  }
  spread.close();
});
