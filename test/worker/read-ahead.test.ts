import {describe, expect, it} from 'vitest';
import {readAhead, type Place, type Read} from '../../src/worker/read-ahead.js';
import {put} from '../images/pictures.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const signal = new AbortController().signal;
async function* from<T>(items: T[]): AsyncGenerator<T[]> {
  yield items;
}
async function readAll(items: Place[], options = {}): Promise<Read<Place>[][]> {
  const reads: Read<Place>[][] = [];
  for await (const read of readAhead(from(items), {threads: 3, maxFileBytes: 1_000_000, signal, ...options}))
    reads.push(read);
  return reads;
}

describe('reading ahead', () => {
  it('reads neighbours in one file with one read, and gives each its own bytes in order', async () => {
    const root = await temporaryFolder();
    const content = Buffer.from(Array.from({length: 20_000}, (_, i) => i % 251));
    await put(`${root}/a`, content);
    await put(`${root}/b`, content);
    const range = (file: string, offset: number, length: number) => ({file: `${root}/${file}`, offset, length});
    const reads = await readAll([
      range('a', 0, 100),
      range('a', 612, 50),
      range('a', 15_000, 10),
      range('b', 15_010, 10),
      range('a', 15_020, 10),
      range('a', 3, 5),
    ]);
    expect(reads.map(run => run.length)).toEqual([2, 1, 1, 1, 1]);
    expect(reads.flat().map(({bytes}) => bytes)).toEqual(
      [
        [0, 100],
        [612, 662],
        [15_000, 15_010],
        [15_010, 15_020],
        [15_020, 15_030],
        [3, 8],
      ].map(([start, end]) => content.subarray(start, end)),
    );
  });

  it('mixes whole files, ranges and what cannot be read in the order of its input', async () => {
    const root = await temporaryFolder();
    await put(`${root}/whole`, 'whole');
    await put(`${root}/large`, Buffer.alloc(2000));
    await put(`${root}/empty`, '');
    const whole = (name: string) => ({file: `${root}/${name}`, offset: null, length: null});
    const reads = (
      await readAll(
        [
          whole('whole'),
          {file: `${root}/large`, offset: 0, length: 10},
          whole('gone'),
          {file: `${root}/large`, offset: 1995, length: 10},
          whole('empty'),
          whole('large'),
          {file: `${root}/large`, offset: 0, length: 1500},
          {file: `${root}/large`, offset: 0, length: 0},
          whole('.'),
        ],
        {maxFileBytes: 1000},
      )
    ).flat();
    expect(reads.map(({bytes, problem}) => problem?.code ?? bytes?.length)).toEqual([
      5,
      10,
      'UNREADABLE',
      'UNREADABLE',
      'EMPTY_FILE',
      'FILE_TOO_LARGE',
      'FILE_TOO_LARGE',
      'EMPTY_FILE',
      'NOT_A_FILE',
    ]);
  });

  it('takes no more from its input than it reads', async () => {
    const root = await temporaryFolder();
    await put(`${root}/a`, 'a');
    let taken = 0;
    async function* endless(): AsyncGenerator<Place[]> {
      for (;;) {
        taken++;
        yield [{file: `${root}/a`, offset: null, length: null}];
      }
    }
    let seen = 0;
    for await (const read of readAhead(endless(), {threads: 4, maxFileBytes: 10, signal})) {
      seen += read.length;
      expect(taken - seen).toBeLessThanOrEqual(4);
      if (seen === 50) break;
    }
  });

  it('stops when told to', async () => {
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<Place[]> {
      for (;;) yield [{file: '/dev/null', offset: null, length: null}];
    }
    const reads = readAhead(endless(), {threads: 2, maxFileBytes: 10, signal: controller.signal});
    await reads.next();
    controller.abort();
    await expect(reads.next()).rejects.toThrow(/abort/i);
  });
});
