import path from 'node:path';
import {expect, it} from 'vitest';
import {writeScores} from '../../src/images/score-file.js';
import {numbersOf} from '../../src/pool/id-table.js';
import {packIds} from '../../src/ranking/image-ids.js';
import {tableOfScores} from '../../src/stages/pool-files.js';
import {imageId, newStore} from '../store/new-store.js';

it('the table of shards is made of score files of more pictures than wait in memory', async () => {
  const {store, paths} = await newStore();
  const files = new Map<number, string>();
  for (const shard of [0, 1]) {
    const images = Array.from({length: 3000}, (_, row) => imageId(shard * 3000 + row));
    const file = path.join(paths.scores, `shard-0000${shard}.parquet`);
    await writeScores(
      file,
      {
        images,
        classes: [new Int32Array(images.length)],
        logProbs: [new Float32Array(images.length)],
        metadata: {classes: ['bird'], shard, fingerprint: 'f'},
      },
      images,
    );
    files.set(shard, file);
  }
  const table = await tableOfScores({store, paths, signal: new AbortController().signal}, files, 6000);
  expect(table.rows).toBe(6000);
  for (const [image, shard] of [
    [0, 0],
    [2999, 0],
    [3000, 1],
    [5999, 1],
  ] as const)
    expect(await numbersOf(table, packIds([imageId(image)]))).toEqual([shard]);
});
