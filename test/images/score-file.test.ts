import {createHash} from 'node:crypto';
import {readFile, truncate, writeFile} from 'node:fs/promises';
import {asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects} from 'hyparquet';
import {describe, expect, it} from 'vitest';
import {exitCodes, UserError} from '../../src/errors.js';
import {readScores, writeScores, type Scores} from '../../src/images/score-file.js';
import {readAllScores} from '../../src/images/score-reader.js';
import {unpackIds} from '../../src/ranking/image-ids.js';
import {temporaryFolder} from './temporary-folder.js';

function scores(images: number, kept: number): Scores {
  return {
    images: Array.from({length: images}, (_, i) => i.toString(16).padStart(24, '0')),
    classes: Array.from({length: kept}, (_, k) => Int32Array.from({length: images}, (_, i) => (i * 7 + k) % 1000)),
    logProbs: Array.from({length: kept}, (_, k) =>
      Float32Array.from({length: images}, (_, i) => -k - Math.fround(i / 1e6)),
    ),
    metadata: {classes: ['naïve', 'b "quoted"', '日本'], shard: 3, fingerprint: 'f00d'},
  };
}
const places = (images: number) => Array.from({length: images}, (_, i) => `/pool/a b/${i}.png#ü`);

describe('a score file', () => {
  it.each([
    [0, 4],
    [1, 1],
    [2500, 10],
  ])('of %i images and %i classes gives back what was put in', async (images, kept) => {
    const file = `${await temporaryFolder()}/scores/shard-00003.parquet`;
    const written = scores(images, kept);
    const sha256 = await writeScores(file, written, places(images));
    expect(sha256).toBe(
      createHash('sha256')
        .update(await readFile(file))
        .digest('hex'),
    );
    const {ids, ...columns} = await readScores(file, kept);
    expect({images: unpackIds(ids), ...columns}).toEqual({
      images: written.images,
      classes: written.classes,
      logProbs: written.logProbs,
    });
  });

  it('reads fewer classes than it keeps, and says so where more are asked for', async () => {
    const file = `${await temporaryFolder()}/shard.parquet`;
    const written = scores(10, 5);
    await writeScores(file, written, places(10));
    const {classes, logProbs} = await readScores(file, 2);
    expect(classes).toEqual(written.classes.slice(0, 2));
    expect(logProbs).toEqual(written.logProbs.slice(0, 2));
    await expect(readScores(file, 6)).rejects.toThrow(/keeps 5 classes an image; 6 are asked for/);
  });

  it('has the columns that other readers rely on, uncompressed', async () => {
    const path = `${await temporaryFolder()}/shard.parquet`;
    await writeScores(path, scores(3, 2), places(3));
    const file = await asyncBufferFromFile(path);
    const {schema, row_groups, key_value_metadata} = await parquetMetadataAsync(file);
    expect(schema.slice(1).map(({name, type, repetition_type}) => `${name} ${type} ${repetition_type}`)).toEqual([
      'image BYTE_ARRAY REQUIRED',
      'place BYTE_ARRAY REQUIRED',
      'class_1 INT32 REQUIRED',
      'class_2 INT32 REQUIRED',
      'log_prob_1 FLOAT REQUIRED',
      'log_prob_2 FLOAT REQUIRED',
    ]);
    expect(row_groups.flatMap(group => group.columns.map(column => column.meta_data?.codec))).toEqual(
      Array(6).fill('UNCOMPRESSED'),
    );
    expect(Object.fromEntries(key_value_metadata!.map(({key, value}) => [key, value]))).toMatchObject({
      classes: '["naïve","b \\"quoted\\"","日本"]',
      shard: '3',
      fingerprint: 'f00d',
    });
    expect(await parquetReadObjects({file})).toMatchObject([
      {image: '0'.repeat(24), place: '/pool/a b/0.png#ü', class_1: 0, log_prob_2: -1},
      {},
      {},
    ]);
  });

  it('is the same bytes for the same scores', async () => {
    const folder = await temporaryFolder();
    expect(await writeScores(`${folder}/a`, scores(100, 3), places(100))).toBe(
      await writeScores(`${folder}/b`, scores(100, 3), places(100)),
    );
  });

  it('that is damaged or something else is refused by name', async () => {
    const folder = await temporaryFolder();
    await writeScores(`${folder}/cut.parquet`, scores(100, 3), places(100));
    await truncate(`${folder}/cut.parquet`, 3000);
    await writeFile(`${folder}/text.parquet`, 'no parquet');
    for (const name of ['cut', 'text']) {
      await expect(readScores(`${folder}/${name}.parquet`, 3)).rejects.toThrow(
        new RegExp(`${name}\\.parquet is damaged`),
      );
      await expect(readScores(`${folder}/${name}.parquet`, 3)).rejects.toSatisfy(
        error => error instanceof UserError && error.exitCode === exitCodes.data,
      );
    }
  });

  it('with something else than ids of images in it is refused by name', async () => {
    const file = `${await temporaryFolder()}/shard.parquet`;
    await writeScores(file, {...scores(2, 1), images: ['0'.repeat(24), 'cat.png']}, places(2));
    await expect(readScores(file, 1)).rejects.toThrow(
      /shard\.parquet is damaged \(expected an image id of 24 hex digits, found "cat\.png"\)/,
    );
  });
});

describe('the score files of a pool', () => {
  async function* read(files: readonly string[], signal = new AbortController().signal) {
    for await (const {ids, classes} of readAllScores(files, 1, signal))
      yield {first: unpackIds(ids)[0], images: classes[0]!.length};
  }

  it('are read in the order given', async () => {
    const folder = await temporaryFolder();
    const files = [3, 1, 2].map(images => `${folder}/${images}.parquet`);
    for (const [index, images] of [3, 1, 2].entries())
      await writeScores(files[index]!, scores(images, 1), places(images));
    const found = [];
    for await (const one of read(files)) found.push(one);
    expect(found).toEqual([3, 1, 2].map(images => ({first: '0'.repeat(24), images})));
    expect(await read([]).next()).toMatchObject({done: true});
  });

  it('are used up to the damaged one, which is refused when its turn comes', async () => {
    const folder = await temporaryFolder();
    await writeScores(`${folder}/whole.parquet`, scores(2, 1), places(2));
    await writeFile(`${folder}/text.parquet`, 'no parquet');
    const reading = read([`${folder}/whole.parquet`, `${folder}/text.parquet`]);
    expect((await reading.next()).value).toMatchObject({images: 2});
    await expect(reading.next()).rejects.toThrow(/text\.parquet is damaged/);
  });

  it('are read no further once it is stopped', async () => {
    const file = `${await temporaryFolder()}/shard.parquet`;
    await writeScores(file, scores(2, 1), places(2));
    const stop = new AbortController();
    const reading = read([file, file], stop.signal);
    await reading.next();
    stop.abort();
    await expect(reading.next()).rejects.toThrow();
  });
});
