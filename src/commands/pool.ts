/** `pupil pool`: how much the pool holds and where from; with --csv every picture of it. */
import {once} from 'node:events';
import {printable, printableJson} from '../printable.js';
import {openRun, type RunName} from '../queries/open-run.js';
import {poolImages, poolSummary, type PoolSummary} from '../queries/pool.js';
import {csv} from '../report/csv.js';
import {table} from '../report/table.js';
import {count, plural} from '../words.js';

/** Rows that are written together. */
const ROWS_AT_ONCE = 1000;

export async function pool(flags: RunName & {readonly csv: boolean; readonly json: boolean}): Promise<void> {
  const run = openRun(flags);
  try {
    const summary = await poolSummary(run);
    if (flags.csv) await writeRows(poolRows(run));
    else if (flags.json) process.stdout.write(`${printableJson({run: run.paths.run, ...summary})}\n`);
    else process.stdout.write(words(summary));
  } finally {
    run.store.close();
  }
}

async function* poolRows(run: Parameters<typeof poolImages>[0]): AsyncGenerator<readonly string[]> {
  yield ['image', 'place'];
  for await (const {id, place} of poolImages(run)) yield [id, place];
}

async function writeRows(rows: AsyncIterable<readonly string[]>): Promise<void> {
  let waiting: (readonly string[])[] = [];
  const write = async () => {
    if (!process.stdout.write(csv(waiting))) await once(process.stdout, 'drain');
    waiting = [];
  };
  for await (const row of rows) if (waiting.push(row) === ROWS_AT_ONCE) await write();
  await write();
}

function words({images, duplicates, sources}: PoolSummary): string {
  const twice =
    duplicates === 0
      ? ''
      : `; ${plural(duplicates, 'place')} more ${duplicates === 1 ? 'holds' : 'hold'} one of them again`;
  const rows = sources.map(({source, listed}) => [printable(source), count(listed)]);
  return `${plural(images, 'picture')} in the pool${twice}\n${table(['source', 'listed'], rows, {align: ['left', 'right']})}\n`;
}
