/**
 * Rows of Parquet files, read in a process of its own: some damage keeps the library busy for ever, or fills all
 * memory.
 */
import {fork} from 'node:child_process';
import {once} from 'node:events';
import {stat} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import {allowedEnvironment} from '../children/environment.js';
import type {ParquetMessage, ParquetReply, ParquetRequest} from './parquet-reader.js';

const ROWS_AT_ONCE = 10_000;
/**
 * What a request may take of the processor's time: for a part of a large group of rows all before it are taken apart
 * again.
 */
const mostBusyMs = (fileBytes: number): number => 5000 + fileBytes / 1000;

/**
 * The rows of a file in order, of each those columns that `choose` takes out of all. Throws an Error that says what is
 * wrong with the file, with the system's code where it cannot be read, or what `choose` throws; an AbortError as soon
 * as the signal aborts.
 */
export async function* parquetRows(
  file: string,
  choose: (names: readonly string[]) => readonly string[],
  signal: AbortSignal,
): AsyncGenerator<Record<string, unknown>> {
  const {size} = await stat(file);
  const reader = fork(fileURLToPath(new URL('../../dist/images/parquet-reader.js', import.meta.url)), {
    serialization: 'advanced',
    // What Node says of its own death is for those who make it.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: allowedEnvironment(process.env),
    // In a group of its own, as the terminal sends Ctrl-C to a whole group: when this process stops is decided here.
    detached: true,
    signal,
    killSignal: 'SIGKILL',
  });
  const died = once(reader, 'exit').then(() => {
    throw new Error('reading it comes to no end or fills the memory, as some damage has it');
  });
  died.catch(() => {}); // Whoever asks next is told.
  const ask = async (request: ParquetRequest) => {
    const message: ParquetMessage = {request, mostBusyMs: mostBusyMs(size)};
    // Where it cannot be sent, the process tells an error.
    reader.send(message);
    const [reply] = (await Promise.race([once(reader, 'message'), died])) as [ParquetReply];
    return taken(reply);
  };
  try {
    const table = await ask({file});
    if (!('names' in table)) throw new Error('The reader of Parquet files told no columns.');
    const columns = choose(table.names);
    for (let rowStart = 0; rowStart < table.rows; rowStart += ROWS_AT_ONCE) {
      const part = await ask({columns, rowStart, rowEnd: rowStart + ROWS_AT_ONCE});
      if (!('values' in part) || part.values.length === 0)
        throw new Error(`it says that it has ${table.rows} rows, and has ${rowStart}`);
      yield* part.values;
    }
  } finally {
    if (reader.kill('SIGKILL')) await died.catch(() => {});
  }
}

/** A reply that is no failure; an error of a class of its own would have come from the process as a plain one. */
function taken(reply: ParquetReply): Exclude<ParquetReply, {failure: unknown}> {
  if ('failure' in reply) throw Object.assign(new Error(reply.failure), reply.system);
  return reply;
}
