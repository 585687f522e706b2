/** The thread in which a Parquet file is taken apart, for whoever may have to end it in the middle. */
import {parentPort} from 'node:worker_threads';
import {asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, type AsyncBuffer, type Compressors, type FileMetaData} from 'hyparquet';
import {systemCode} from '../errors.js';

/** The names of its columns and the number of its rows, or some of its rows. */
export type ParquetRequest = {readonly file: string} | {readonly columns: readonly string[]; readonly rowStart: number; readonly rowEnd: number};

export type ParquetReply = {readonly names: string[]; readonly rows: number} | {readonly values: Record<string, unknown>[]} | {readonly failure: string; readonly system: {readonly code: string; readonly syscall: string} | null};

const port = parentPort;
if (port === null) throw new Error('The thread that reads Parquet files was started as a program of its own.');

let open: {readonly file: AsyncBuffer; readonly metadata: FileMetaData; readonly compressors: Compressors} | null = null;

/** Most files need none but those of hyparquet itself. The others' WebAssembly reserves 10 GB of address space, which a limit on that (ulimit -v) may refuse. */
async function compressorsFor({row_groups: groups}: FileMetaData): Promise<Compressors> {
  const isBuiltIn = groups.every(({columns}) => columns.every(({meta_data: about}) => about === undefined || ['UNCOMPRESSED', 'SNAPPY'].includes(about.codec)));
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

port.on('message', (request: ParquetRequest) => {
  void answer(request)
    .catch((error: unknown) => {
      const code = systemCode(error);
      return {failure: error instanceof Error ? error.message : String(error), system: code === null ? null : {code, syscall: 'read'}};
    })
    .then(reply => port.postMessage(reply));
});
