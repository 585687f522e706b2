import {describe, expect, it} from 'vitest';
import path from 'node:path';
import {openListing} from '../../src/pool/listing-files.js';
import {buildPool, imageAt, placedImages, placesOf, poolSample} from '../../src/pool/pool-index.js';
import {packIds} from '../../src/ranking/image-ids.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {entry, imageId} from '../store/new-store.js';
import {never, poolOf} from './pools.js';

const upTo = (end: number): number[] => Array.from({length: end}, (_, number) => number);

describe('a pool', () => {
  it('is known by its images, in whatever order they are listed', async () => {
    const folder = await temporaryFolder();
    const {digest} = await poolOf(folder, upTo(5));
    expect((await poolOf(folder, [4, 2, 0, 1, 3, 2])).digest).toBe(digest);
    expect((await poolOf(folder, [4, 2, 0, 1, 5])).digest).not.toBe(digest);
    expect((await poolOf(folder, [4, 2, 0, 1])).digest).not.toBe(digest);
    // As homes of before have it.
    expect(digest).toBe('2dadc324628fe37f2dc11f55c137daf13f2a70ceed56dc9e273d7c49cee2cdc4');
  });

  it('holds an image once, wherever it lies, within a source and across', async () => {
    const folder = await temporaryFolder();
    const listings = [];
    for (const [source, names] of [
      [7, ['b', 'a', 'b']],
      [8, ['c', 'b']],
    ] as const) {
      const listing = path.join(folder, String(source));
      const writer = openListing(listing);
      for (const [row, name] of names.entries()) writer.add(entry(name, `${row}.tar`), packIds([imageId(name)]), 0, 1n);
      listings.push({source, folder: listing, chunks: (await writer.close()).chunks});
    }
    const pool = await buildPool({
      folder: path.join(folder, 'ids'),
      listings,
      labelled: new Uint32Array(),
      assigned: null,
      signal: never,
    });
    expect([pool.images, pool.table.rows]).toEqual([3, 5]);
    const placed = await placedImages(pool, packIds([imageId('b')]));
    expect(placed.map(({source, file}) => [source, file])).toEqual([
      [7, '0.tar'],
      [7, '2.tar'],
      [8, '1.tar'],
    ]);
    expect((await poolSample(pool, 99)).map(({id}) => id)).toEqual(['a', 'b', 'c'].map(imageId).sort());
  });

  it('tells where images lie, in the order of listing, and leaves out what it has not', async () => {
    const folder = await temporaryFolder();
    const pool = await poolOf(folder, upTo(200));
    const asked = [150, 3, 77, 5000].map(imageId).sort();
    const found: string[] = [];
    for await (const {file} of placesOf(
      pool,
      [packIds(asked.slice(0, 2)), packIds(asked.slice(2))],
      path.join(folder, 'x'),
    ))
      found.push(file);
    expect(found).toEqual(['3.png', '77.png', '150.png']);
  });

  it('draws a sample that is a function of its images alone', async () => {
    const folder = await temporaryFolder();
    const [one, other] = [await poolOf(folder, upTo(100)), await poolOf(folder, upTo(100).reverse())];
    const ids = async (pool: typeof one) => (await poolSample(pool, 10)).map(({id}) => id);
    expect(await ids(one)).toEqual(upTo(100).map(imageId).sort().slice(0, 10));
    expect(await ids(other)).toEqual(await ids(one));
  });

  it('finds what lies in an archive by that alone, and in whatever file of the listing it is', async () => {
    const folder = await temporaryFolder();
    const listing = path.join(folder, 'listing');
    const writer = openListing(listing);
    const [first, rows] = [70_000, 80_000];
    for (let row = 0; row < rows; row++) {
      const member = {
        ...entry(row, row < first ? 'a.tar' : 'b#.tar'),
        member: `${row}#.png`,
        offset: row * 10,
        length: 5,
      };
      writer.add(member, packIds([imageId(row)]), 0, 1n);
      if (writer.isFull()) await writer.flush();
    }
    const {chunks} = await writer.close();
    const at = (place: string) => imageAt({source: 3, folder: listing, chunks}, place);
    expect(chunks.length).toBeGreaterThan(1);
    expect(await at('a.tar#69999#.png')).toMatchObject({id: imageId(69_999), source: 3, offset: 699_990, length: 5});
    expect(await at('b#.tar#70000#.png')).toMatchObject({id: imageId(70_000)});
    expect([await at('a.tar#70000#.png'), await at('a.tar'), await at('c.tar#1.png')]).toEqual([null, null, null]);
  });
});
