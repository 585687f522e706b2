/**
 * Score files: Parquet with one row an image, its `kept` best classes and their natural log-probabilities, best first.
 *
 * Flat columns (`class_1` ... `log_prob_1` ...) on purpose: they read many times faster than lists, and every Parquet
 * reader takes them.
 */
import {createHash} from 'node:crypto';
import {readFile, writeFile} from 'node:fs/promises';
import type {AsyncBuffer, ColumnData} from 'hyparquet';
import {parquetMetadataAsync, parquetRead} from 'hyparquet';
import {parquetWriteBuffer, type ColumnSource} from 'hyparquet-writer';
import {UserError} from '../errors.js';
import {publishFile} from '../files/publish.js';
import {ID_WORDS, putId} from '../ranking/image-ids.js';
import type {ScoredImages} from '../ranking/select.js';

export interface ScoreMetadata {
  /** Names of the classes that the class columns index. */
  classes: string[];
  shard: number;
  /** Of the scoring that made the file. */
  fingerprint: string;
}

/**
 * The scores of `images.length` images, to be written. `classes[k]` and `logProbs[k]` hold the k-th best of each image.
 */
export interface Scores {
  images: string[];
  classes: Int32Array[];
  logProbs: Float32Array[];
  metadata: ScoreMetadata;
}

/**
 * Publishes a score file and returns the SHA-256 of its bytes in hex.
 * Columns: image (hex id), place, class_1 .. class_P (INT32), log_prob_1 .. log_prob_P (FLOAT).
 */
export async function writeScores(file: string, scores: Scores, places: readonly string[]): Promise<string> {
  const {images, classes, logProbs, metadata} = scores;
  // What hardly ever repeats is not searched for repetitions, and nobody asks for the extremes of a shard: half of the
  // time to write.
  const columnData: ColumnSource[] = [
    {name: 'image', data: images, type: 'STRING', nullable: false, encoding: 'PLAIN'},
    {name: 'place', data: [...places], type: 'STRING', nullable: false, encoding: 'PLAIN'},
    ...classes.map((data, k): ColumnSource => ({name: `class_${k + 1}`, data, type: 'INT32', nullable: false})),
    ...logProbs.map((data, k): ColumnSource => ({
      name: `log_prob_${k + 1}`,
      data,
      type: 'FLOAT',
      nullable: false,
      encoding: 'PLAIN',
    })),
  ];
  const kvMetadata = [
    {key: 'classes', value: JSON.stringify(metadata.classes)},
    {key: 'shard', value: String(metadata.shard)},
    {key: 'fingerprint', value: metadata.fingerprint},
  ];
  const bytes = new Uint8Array(
    parquetWriteBuffer({
      columnData,
      kvMetadata,
      codec: 'UNCOMPRESSED',
      statistics: false,
      createdBy: 'pupil',
      rowGroupSize: Math.max(1, images.length),
    }),
  );
  await publishFile(file, temporary => writeFile(temporary, bytes));
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Reads the `topP` best classes of every image in a score file.
 * Throws a data error where the file is damaged, or keeps fewer classes an image.
 *
 * Nothing becomes a string: a pool has a billion ids, and hardly any of them is ever shown.
 */
export async function readScores(file: string, topP: number): Promise<ScoredImages> {
  const bytes = await readFile(file);
  const buffer: AsyncBuffer = {
    byteLength: bytes.length,
    slice: (start, end = bytes.length) => new Uint8Array(bytes.subarray(start, end)).buffer,
  };
  try {
    const parquet = await parquetMetadataAsync(buffer);
    const rows = Number(parquet.num_rows);
    const kept = parquet.schema.filter(column => column.name.startsWith('class_')).length;
    if (kept < topP)
      throw new UserError(
        'DAMAGED_FILE',
        `${file} keeps ${kept} classes an image; ${topP} are asked for. Score again with a larger top_p.`,
      );

    const ids = new Uint32Array(rows * ID_WORDS);
    const classes = Array.from({length: topP}, () => new Int32Array(rows));
    const logProbs = Array.from({length: topP}, () => new Float32Array(rows));
    const ranks = Array.from({length: topP}, (_, k) => k + 1);
    // Nobody would catch what is thrown in the callback, so the columns are taken apart afterwards.
    const chunks: ColumnData[] = [];
    await parquetRead({
      file: buffer,
      metadata: parquet,
      parsers: {stringFromBytes: bytes => bytes},
      columns: ['image', ...ranks.map(rank => `class_${rank}`), ...ranks.map(rank => `log_prob_${rank}`)],
      onChunk: chunk => chunks.push(chunk),
    });
    for (const {columnName, columnData, rowStart} of chunks) {
      if (columnData instanceof BigInt64Array || columnData instanceof BigUint64Array)
        throw new Error(`column ${columnName} has 64-bit integers`);
      if (columnName === 'image') {
        for (let row = 0; row < columnData.length; row++) putId(ids, rowStart + row, columnData[row] as Uint8Array);
        continue;
      }
      const [, kind, rank] = /^(class|log_prob)_(\d+)$/.exec(columnName) ?? [];
      (kind === 'class' ? classes : logProbs)[Number(rank) - 1]?.set(columnData, rowStart);
    }
    return {ids, classes, logProbs};
  } catch (error) {
    if (error instanceof Error && error.name !== 'UserError')
      throw new UserError('DAMAGED_FILE', `${file} is damaged (${error.message}).`, {cause: error});
    throw error;
  }
}
