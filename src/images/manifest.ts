/** Images listed in a table of paths and labels: CSV, JSON lines or Parquet. Paths are relative to the table's folder. */
import {createReadStream} from 'node:fs';
import {realpath, stat} from 'node:fs/promises';
import {basename, dirname, isAbsolute, posix, relative} from 'node:path';
import {parse} from 'csv-parse';
import {asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects} from 'hyparquet';
import {z} from 'zod';
import {dataError, systemCode} from '../errors.js';
import {linesOf} from '../lines.js';
import type {Entry, Source, SourceOptions} from './listing.js';
import {fileEntry, refusedFile, statFiles} from './listing.js';
import {fromPrintable, toPrintable} from './printable-path.js';

const formats = ['.csv', '.jsonl', '.parquet'] as const;

export const isManifest = (path: string) => formats.some(format => path.endsWith(format));

const row = z.object({path: z.string().min(1), label: z.union([z.string(), z.number(), z.bigint()]).nullish()});
type Row = z.infer<typeof row>;

/** Rows of a Parquet file that are read at a time. */
const PARQUET_ROWS = 10_000;

async function* csvRows(file: string, signal: AbortSignal): AsyncGenerator<unknown> {
  const parser = createReadStream(fromPrintable(file), {signal}).pipe(parse({columns: true, bom: true, trim: true, skip_empty_lines: true}));
  for await (const record of parser) yield record;
}

async function* jsonRows(file: string, signal: AbortSignal): AsyncGenerator<unknown> {
  for await (const line of linesOf(createReadStream(fromPrintable(file), {signal}))) {
    if (line.trim() !== '') yield JSON.parse(line);
  }
}

async function* parquetRows(path: string): AsyncGenerator<unknown> {
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  const columns = ['path', 'label'].filter(name => metadata.schema.some(column => column.name === name));
  for (let rowStart = 0; rowStart < Number(metadata.num_rows); rowStart += PARQUET_ROWS) {
    yield* await parquetReadObjects({file, metadata, columns, rowStart, rowEnd: rowStart + PARQUET_ROWS});
  }
}

/** Opens a table of images. Rows that are not as expected end `entries` with a data error that names the row. */
export function openManifest(path: string, {labelled}: Pick<SourceOptions, 'labelled'>): Source {
  const root = dirname(path);

  async function* rows(signal: AbortSignal): AsyncGenerator<Row> {
    let number = 0;
    try {
      const raw = path.endsWith('.csv') ? csvRows(path, signal) : path.endsWith('.jsonl') ? jsonRows(path, signal) : parquetRows(path);
      for await (const value of raw) {
        number++;
        signal.throwIfAborted();
        yield row.parse(value);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (systemCode(error) !== null || !(error instanceof Error)) throw error;
      const found = error instanceof z.ZodError ? error.issues.map(issue => `${issue.path.join('.')}: ${issue.message}`).join('; ') : error.message;
      throw dataError(
        `Row ${Math.max(1, number)} of ${path} cannot be used (${found}). Expected columns "path" and ${labelled ? '"label"' : 'optionally "label"'}.`,
        {cause: error},
      );
    }
  }

  /** A listed path below the root; null where it leads out. */
  function below(listed: string): string | null {
    const printable = toPrintable(Buffer.from(listed));
    const file = isAbsolute(printable) ? relative(root, printable) : posix.normalize(printable);
    return file === '..' || file.startsWith('../') || isAbsolute(file) ? null : file;
  }

  async function entryOf({path: listed, label}: Row, realRoot: string): Promise<Entry> {
    const file = below(listed);
    if (file === null)
      return refusedFile(
        toPrintable(Buffer.from(listed)),
        'OUTSIDE_ROOT',
        `lies outside the folder of ${basename(path)}; move that file to a folder above its images`,
      );
    try {
      const real = toPrintable(await realpath(fromPrintable(`${root}/${file}`), {encoding: 'buffer'}));
      if (!real.startsWith(realRoot)) return refusedFile(file, 'OUTSIDE_ROOT', `a link to ${real}`);
      if (!(await stat(fromPrintable(real))).isFile()) return refusedFile(file, 'NOT_A_FILE', 'a folder, pipe, socket or device');
    } catch (error) {
      const code = systemCode(error);
      if (code === null) throw error;
      return refusedFile(file, 'UNREADABLE', `listed, but cannot be found (${code})`);
    }
    const name = label === null || label === undefined ? '' : String(label).trim();
    if (labelled && name === '') return refusedFile(file, 'NO_LABEL', 'listed without a label');
    return fileEntry(file, labelled ? name : null);
  }

  async function* names(signal: AbortSignal): AsyncGenerator<string> {
    yield basename(path);
    for await (const {path: listed} of rows(signal)) {
      const file = below(listed);
      if (file !== null) yield file;
    }
  }

  return {
    root,
    notes: [],
    classes: () => Promise.resolve(null),
    files: signal => statFiles(root, names(signal), signal),
    async *entries(signal) {
      const realRoot = toPrintable(await realpath(fromPrintable(root), {encoding: 'buffer'})).replace(/\/?$/, '/');
      for await (const listed of rows(signal)) yield await entryOf(listed, realRoot);
    },
  };
}
