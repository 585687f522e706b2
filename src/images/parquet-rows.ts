/** Rows of Parquet files, read in a thread that can be ended: some damage keeps the library busy for ever. */
import {once} from 'node:events';
import {stat} from 'node:fs/promises';
import {Worker} from 'node:worker_threads';
import type {ParquetReply, ParquetRequest} from './parquet-thread.js';

const ROWS_AT_ONCE = 10_000;
/** What a request may take of the thread's time: for a part of a large group of rows all before it are taken apart again. */
const mostBusyMs = (fileBytes: number): number => 5000 + fileBytes / 1000;
const LOOK_MS = 200;

/**
 * The rows of a file in order, of each those columns that `choose` takes out of all. Throws an Error that says what is wrong with the file, with
 * the system's code where it cannot be read, or what `choose` throws.
 */
export async function* parquetRows(file: string, choose: (names: readonly string[]) => readonly string[]): AsyncGenerator<Record<string, unknown>> {
  const {size} = await stat(file);
  const thread = new Worker(new URL('../../dist/images/parquet-thread.js', import.meta.url));
  const died = new Promise<never>((_, reject) => thread.once('error', reject));
  died.catch(() => {}); // Whoever asks next is told.
  const ask = async (request: ParquetRequest) => {
    thread.postMessage(request);
    return taken(await Promise.race([replyOf(thread, mostBusyMs(size)), died]));
  };
  try {
    const table = await ask({file});
    if (!('names' in table)) throw new Error('The reader of Parquet files told no columns.');
    const columns = choose(table.names);
    for (let rowStart = 0; rowStart < table.rows; rowStart += ROWS_AT_ONCE) {
      const part = await ask({columns, rowStart, rowEnd: rowStart + ROWS_AT_ONCE});
      if (!('values' in part) || part.values.length === 0) throw new Error(`it says that it has ${table.rows} rows, and has ${rowStart}`);
      yield* part.values;
    }
  } finally {
    await thread.terminate();
  }
}

async function replyOf(thread: Worker, mostBusyMs: number): Promise<ParquetReply> {
  const impatience = new AbortController();
  const before = thread.performance.eventLoopUtilization();
  // A thread that waits for its disk is not busy, so a slow one is no damage.
  const watch = setInterval(() => thread.performance.eventLoopUtilization(before).active > mostBusyMs && impatience.abort(), LOOK_MS);
  try {
    const [reply] = (await once(thread, 'message', {signal: impatience.signal})) as [ParquetReply];
    return reply;
  } catch (error) {
    throw impatience.signal.aborted ? new Error('reading it comes to no end, as some damage has it', {cause: error}) : error;
  } finally {
    clearInterval(watch);
  }
}

/** A reply that is no failure; an error of a class of its own would have come from the thread as a plain one. */
function taken(reply: ParquetReply): Exclude<ParquetReply, {failure: unknown}> {
  if ('failure' in reply) throw Object.assign(new Error(reply.failure), reply.system);
  return reply;
}
