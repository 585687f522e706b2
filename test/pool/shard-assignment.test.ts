import path from 'node:path';
import {describe, expect, it} from 'vitest';
import type {IdTable} from '../../src/pool/id-table.js';
import {assignShards, openShardLists} from '../../src/pool/shard-assignment.js';
import {idAt, unpackIds} from '../../src/ranking/image-ids.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {imageId} from '../store/new-store.js';
import {never, poolOf} from './pools.js';

const upTo = (end: number, from = 0): number[] => Array.from({length: end - from}, (_, at) => from + at);

/** A pool that can be listed anew; `put` puts it into shards of 4, and returns the pictures of each. */
async function aPool() {
  const folder = await temporaryFolder();
  let before: IdTable | null = null;
  let tables = 0;
  return async (
    contents: readonly number[],
    {keeps = true, size = 4, forgotten = []}: {keeps?: boolean; size?: number; forgotten?: readonly number[]} = {},
  ) => {
    const pool = await poolOf(folder, contents, {assigned: before});
    const {table, images, left, changed} = await assignShards({
      pool,
      before,
      folder: path.join(folder, `shards ${tables++}`),
      size,
      keeps,
      forgets: id => forgotten.map(imageId).includes(idAt(id, 0)),
      signal: never,
    });
    before = table;
    const shards = [...images.keys()].sort((a, b) => a - b);
    const lists = await openShardLists(pool, table, {shards, folder: path.join(folder, 'lists'), signal: never});
    const held = new Map<number, number[]>();
    for (const shard of shards)
      held.set(
        shard,
        (await lists.of(shard)).map(({file}) => parseInt(file)),
      );
    lists.close();
    expect([...held].map(([shard, pictures]) => [shard, pictures.length])).toEqual(
      [...images].sort(([a], [b]) => a - b),
    );
    return {
      held: Object.fromEntries(held),
      left: Object.fromEntries([...left].map(([shard, ids]) => [shard, unpackIds(ids)])),
      changed: [...changed].sort((a, b) => a - b),
      change: pool.change,
    };
  };
}

describe('a pool that is put into shards', () => {
  it.each([
    [10, 4, [4, 4, 2]],
    [8, 4, [4, 4]],
    [3, 4096, [3]],
    [1, 1, [1]],
    [0, 4, []],
  ])('of %s images, %s a shard, fills them in the order of listing', async (images, size, expected) => {
    const put = await aPool();
    const {held} = await put(upTo(images), {size, keeps: false});
    expect(Object.values(held).map(({length}) => length)).toEqual(expected);
    expect(Object.values(held).flat()).toEqual(upTo(images));
  });

  it('puts what joined it into further ones, and leaves the others as they are', async () => {
    const put = await aPool();
    await put(upTo(6));
    const {held, change} = await put([...upTo(15, 6), ...upTo(6)]);
    expect(change).toEqual({added: 9, stayed: 6, left: 0});
    expect(held).toEqual({0: upTo(4), 1: [4, 5], 2: upTo(10, 6), 3: upTo(14, 10), 4: [14]});
  });

  it('remembers the shard of what left it, and takes it again where it comes back', async () => {
    const put = await aPool();
    await put(upTo(8));
    const without = await put([0, 2, 3, 4, 5, 6, 7, 8]);
    expect(without.change).toEqual({added: 1, stayed: 7, left: 1});
    expect(without.left).toEqual({0: [imageId(1)]});
    expect(without.held).toEqual({0: [0, 2, 3], 1: upTo(8, 4), 2: [8]});
    const back = await put(upTo(9));
    expect([back.left, back.held[0]]).toEqual([{}, upTo(4)]);
  });

  it('puts what was forgotten when it left anew where it comes back', async () => {
    const put = await aPool();
    await put(upTo(4));
    expect((await put([0, 1, 2], {forgotten: [3]})).left).toEqual({});
    expect((await put(upTo(4))).held).toEqual({0: [0, 1, 2], 1: [3]});
  });

  it('tells which shards are of other images where all are cut anew', async () => {
    const put = await aPool();
    await put(upTo(10), {keeps: false});
    expect((await put(upTo(11), {keeps: false})).changed).toEqual([2]);
    expect((await put([0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11], {keeps: false})).changed).toEqual([1, 2]);
    expect((await put([0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11], {keeps: false})).changed).toEqual([]);
  });

  it('of many shards, lists each in the order of listing', async () => {
    const put = await aPool();
    const {held} = await put(upTo(500), {size: 3});
    expect(Object.values(held).flat()).toEqual(upTo(500));
    expect(Object.keys(held)).toHaveLength(167);
  });
});
