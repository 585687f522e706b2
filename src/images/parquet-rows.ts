/** Rows of Parquet files, read in a thread that can be ended: some damage keeps the library busy for ever. */
import {once} from 'node:events';
import {Worker} from 'node:worker_threads';
import type {ParquetReply, ParquetRequest} from './parquet-thread.js';

const ROWS_AT_ONCE = 10_000;
/** So many rows take a fraction of a second, on a slow network too; the footer of a large file a few. */
const PATIENCE_MS = 30_000;

/**
 * The rows of a file in order, of each those columns that `choose` takes out of all. Throws an Error that says what is wrong with the file, with
 * the system's code where it cannot be read, or what `choose` throws.
 */
export async function* parquetRows(file: string, choose: (names: readonly string[]) => readonly string[]): AsyncGenerator<Record<string, unknown>> {
  // Started for such files alone: its WebAssembly reserves 10 GB of address space, which a limit on that (ulimit -v, batch systems) would refuse.
  const thread = new Worker(new URL('../../dist/images/parquet-thread.js', import.meta.url));
  const died = new Promise<never>((_, reject) => thread.once('error', reject));
  died.catch(() => {}); // Whoever asks next is told.
  const ask = async (request: ParquetRequest) => {
    thread.postMessage(request);
    return taken(await Promise.race([replyOf(thread), died]));
  };
  try {
    const table = await ask({file});
    if (!('names' in table)) throw new Error('The reader of Parquet files told no columns.');
    const columns = choose(table.names);
    for (let rowStart = 0; rowStart < table.rows; rowStart += ROWS_AT_ONCE) {
      const part = await ask({columns, rowStart, rowEnd: rowStart + ROWS_AT_ONCE});
      if ('values' in part) yield* part.values;
    }
  } finally {
    await thread.terminate();
  }
}

async function replyOf(thread: Worker): Promise<ParquetReply> {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  try {
    const [reply] = (await once(thread, 'message', {signal: patience})) as [ParquetReply];
    return reply;
  } catch (error) {
    throw patience.aborted ? new Error(`reading it came to no end within ${PATIENCE_MS / 1000} s, as some damage has it`, {cause: error}) : error;
  }
}

/** A reply that is no failure; an error of a class of its own would have come from the thread as a plain one. */
function taken(reply: ParquetReply): Exclude<ParquetReply, {failure: unknown}> {
  if ('failure' in reply) throw Object.assign(new Error(reply.failure), reply.system);
  return reply;
}
