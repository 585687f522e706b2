/**
 * The process in which a Parquet file is taken apart: some damage keeps the library busy for ever, or has it fill more
 * memory than Node lives through.
 */
import {Worker} from 'node:worker_threads';
import {
  asyncBufferFromFile,
  parquetMetadataAsync,
  parquetReadObjects,
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
} from 'hyparquet';
import {systemCode} from '../errors.js';
import type {ParquetWatchMessage} from './parquet-watch.js';

/** The names of its columns and the number of its rows, or some of its rows. */
export type ParquetRequest =
  {readonly file: string} | {readonly columns: readonly string[]; readonly rowStart: number; readonly rowEnd: number};

/** A request, and what it may take of the processor's time. */
export interface ParquetMessage {
  readonly request: ParquetRequest;
  readonly mostBusyMs: number;
}

export type ParquetReply =
  | {readonly names: string[]; readonly rows: number}
  | {readonly values: Record<string, unknown>[]}
  | {readonly failure: string; readonly system: {readonly code: string; readonly syscall: string} | null};

let open: {readonly file: AsyncBuffer; readonly metadata: FileMetaData; readonly compressors: Compressors} | null =
  null;

/**
 * Most files need none but those of hyparquet itself. The others' WebAssembly reserves 10 GB of address space, which a
 * limit on that (ulimit -v) may refuse.
 */
async function compressorsFor({row_groups: groups}: FileMetaData): Promise<Compressors> {
  const isBuiltIn = groups.every(({columns}) =>
    columns.every(({meta_data: about}) => about === undefined || ['UNCOMPRESSED', 'SNAPPY'].includes(about.codec)),
  );
  return isBuiltIn ? {} : (await import('hyparquet-compressors')).compressors;
}

async function answer(request: ParquetRequest): Promise<ParquetReply> {
  if ('file' in request) {
    const file = await asyncBufferFromFile(request.file);
    const metadata = await parquetMetadataAsync(file);
    open = {file, metadata, compressors: await compressorsFor(metadata)};
    // The first element of a schema is the table itself.
    return {names: open.metadata.schema.slice(1).map(({name}) => name), rows: Number(open.metadata.num_rows)};
  }
  if (open === null) throw new Error('Rows were asked for before a file was opened.');
  return {values: await parquetReadObjects({...open, ...request, columns: [...request.columns]})};
}

const watch = new Worker(new URL('parquet-watch.js', import.meta.url));
const tell = (message: ParquetWatchMessage) => watch.postMessage(message);

process.on('message', ({request, mostBusyMs}: ParquetMessage) => {
  tell({mostBusyMs});
  void answer(request)
    .catch((error: unknown) => {
      const code = systemCode(error);
      return {
        failure: error instanceof Error ? error.message : String(error),
        system: code === null ? null : {code, syscall: 'read'},
      };
    })
    .then(reply => {
      tell({mostBusyMs: null});
      process.send?.(reply);
    });
});
// Whoever asked is gone.
process.on('disconnect', () => process.exit());
