/**
 * Images listed in a table of paths and labels: CSV, JSON lines or Parquet. Paths are relative to the table's folder.
 */
import {createReadStream} from 'node:fs';
import {realpath, stat} from 'node:fs/promises';
import {basename, dirname, isAbsolute, relative, resolve} from 'node:path';
import {Readable} from 'node:stream';
import {CsvError, parse} from 'csv-parse';
import {z} from 'zod';
import {systemCode, UserError} from '../errors.js';
import {decodeLines, decodeStream, NotText} from '../files/text.js';
import {isExact, NOT_EXACT} from './class-name.js';
import type {Entry, Source, SourceOptions} from './listing.js';
import {fileEntry, inLots, refusedFile} from './listing.js';
import {parquetRows} from './parquet-rows.js';
import {fromPrintable, toPrintable} from './printable-path.js';
import {isServicePath, LeftOut} from './service-files.js';

const formats = ['.csv', '.jsonl', '.parquet'] as const;

export const isManifest = (path: string) => formats.some(format => path.endsWith(format));

const row = z.object({
  path: z.string().min(1),
  label: z.union([z.string(), z.number().refine(isExact, NOT_EXACT), z.bigint()]).nullish(),
});
type Row = z.infer<typeof row>;

/** A row as it was found, and where: `line 7`, `row 7`. */
interface Found {
  value: unknown;
  at: string;
}

/** A line that is no row, with what was wrong about it. */
class BadLine extends Error {
  constructor(
    readonly at: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** What a column that is no list of ours tends to be separated by. */
const otherDelimiters = [
  [';', 'semicolons'],
  ['\t', 'tabs'],
  ['|', 'bars'],
] as const;

/** Refuses columns that do not name the paths (and the labels), telling those that there are. */
function checkColumns(columns: readonly string[], at: string, labelled: boolean): void {
  const wanted = ['path', ...(labelled ? ['label'] : [])];
  const twice = wanted.find(name => columns.indexOf(name) !== columns.lastIndexOf(name));
  if (twice !== undefined) throw new BadLine(at, `the column "${twice}" comes twice`);
  const missing = wanted.filter(name => !columns.includes(name));
  if (missing.length === 0) return;
  const [only] = columns;
  const delimiter = columns.length === 1 && otherDelimiters.find(([character]) => only?.includes(character));
  const advice = delimiter ? `; it seems to be separated by ${delimiter[1]}, where commas are expected` : '';
  throw new BadLine(at, `its columns are ${columns.map(name => JSON.stringify(name)).join(', ')}${advice}`);
}

async function* csvRows(file: string, labelled: boolean, signal: AbortSignal): AsyncGenerator<Found> {
  const columns = (header: string[]) => {
    checkColumns(header, 'line 1', labelled);
    return header;
  };
  const text = Readable.from(decodeStream(createReadStream(fromPrintable(file), {signal})));
  const parser = parse({columns, info: true, trim: true, skip_empty_lines: true});
  // A pipe would not tell the parser of a file that cannot be read.
  text.on('error', error => parser.destroy(error)).pipe(parser);
  for await (const {record, info} of parser as AsyncIterable<{record: unknown; info: {lines: number}}>)
    yield {value: record, at: `line ${info.lines}`};
}

async function* jsonRows(file: string, signal: AbortSignal): AsyncGenerator<Found> {
  let line = 0;
  for await (const text of decodeLines(createReadStream(fromPrintable(file), {signal}))) {
    line++;
    if (text.trim() === '') continue;
    try {
      yield {value: JSON.parse(text) as unknown, at: `line ${line}`};
    } catch (error) {
      if (error instanceof SyntaxError) throw new BadLine(`line ${line}`, error.message, {cause: error});
      throw error;
    }
  }
}

async function* tableRows(file: string, labelled: boolean, signal: AbortSignal): AsyncGenerator<Found> {
  let number = 0;
  const columns = (names: readonly string[]) => {
    checkColumns(names, 'row 1', labelled);
    return ['path', 'label'].filter(name => names.includes(name));
  };
  for await (const value of parquetRows(file, columns, signal)) yield {value, at: `row ${++number}`};
}

/** Opens a table of images. Rows that are not as expected end `entries` with a data error that names the row. */
export function openManifest(path: string, {labelled}: Pick<SourceOptions, 'labelled'>): Source {
  const root = dirname(path);
  const notes: string[] = [];

  async function* rows(signal: AbortSignal): AsyncGenerator<Row> {
    let last = path.endsWith('.parquet') ? 'row 1' : 'line 1';
    try {
      const found = path.endsWith('.csv')
        ? csvRows(path, labelled, signal)
        : path.endsWith('.jsonl')
          ? jsonRows(path, signal)
          : tableRows(path, labelled, signal);
      for await (const {value, at} of found) {
        last = at;
        signal.throwIfAborted();
        yield row.parse(value);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (systemCode(error) !== null || !(error instanceof Error) || error instanceof UserError) throw error;
      if (error instanceof NotText)
        throw new UserError('UNREADABLE_SOURCE', `${path}: ${error.message}`, {cause: error});
      const place =
        error instanceof BadLine
          ? error.at
          : error instanceof CsvError && typeof error['lines'] === 'number'
            ? `line ${error['lines']}`
            : last;
      const found =
        error instanceof z.ZodError
          ? error.issues.map(issue => `${issue.path.join('.')}: ${issue.message}`).join('; ')
          : error.message;
      throw new UserError(
        'UNREADABLE_SOURCE',
        `${place[0]?.toUpperCase()}${place.slice(1)} of ${path} cannot be used (${found}). Expected columns "path" and ${labelled ? '"label"' : 'optionally "label"'}.`,
        {cause: error},
      );
    }
  }

  /** The root with its links resolved, and a slash behind it. */
  const realRoot = async () =>
    toPrintable(await realpath(fromPrintable(root), {encoding: 'buffer'})).replace(/\/?$/, '/');

  /** A listed path below the root; null where it leads out, also with the links of both resolved. */
  async function below(listed: string, real: string): Promise<string | null> {
    const absolute = resolve(root, toPrintable(Buffer.from(listed)));
    const file = relative(root, absolute);
    if (file !== '..' && !file.startsWith('../') && !isAbsolute(file)) return file;
    const target = await realpath(fromPrintable(absolute), {encoding: 'buffer'}).then(toPrintable, () => absolute);
    return target.startsWith(real) ? target.slice(real.length) : null;
  }

  async function entryOf({path: listed, label}: Row, realRoot: string): Promise<Entry> {
    const file = await below(listed, realRoot);
    if (file === null)
      return refusedFile(
        toPrintable(Buffer.from(listed)),
        'OUTSIDE_ROOT',
        `lies outside the folder of ${basename(path)}; move that file to a folder above its images`,
      );
    try {
      const real = toPrintable(await realpath(fromPrintable(`${root}/${file}`), {encoding: 'buffer'}));
      if (!real.startsWith(realRoot)) return refusedFile(file, 'OUTSIDE_ROOT', `a link to ${real}`);
      if (!(await stat(fromPrintable(real))).isFile())
        return refusedFile(file, 'NOT_A_FILE', 'a folder, pipe, socket or device');
    } catch (error) {
      const code = systemCode(error);
      if (code === null) throw error;
      return refusedFile(file, 'UNREADABLE', `listed, but cannot be found (${code})`);
    }
    const name = label === null || label === undefined ? '' : String(label);
    if (labelled && name.trim() === '') return refusedFile(file, 'NO_LABEL', 'listed without a label');
    return fileEntry(file, labelled ? name : null);
  }

  async function* names(signal: AbortSignal): AsyncGenerator<string> {
    yield basename(path);
    const real = await realRoot();
    for await (const {path: listed} of rows(signal)) {
      const file = await below(listed, real);
      if (file !== null && !isServicePath(file)) yield file;
    }
  }

  async function* listed(signal: AbortSignal): AsyncGenerator<Entry> {
    notes.length = 0;
    const service = new LeftOut();
    const real = await realRoot();
    for await (const row of rows(signal)) {
      const entry = await entryOf(row, real);
      if (isServicePath(entry.file)) service.add(entry.file);
      else yield entry;
    }
    notes.push(...service.note('listed hidden or service file', 'listed hidden or service files'));
  }

  return {
    root,
    notes,
    warnings: [],
    classes: () => Promise.resolve(null),
    async *files(signal) {
      for await (const lot of inLots(names(signal))) yield {folder: root, names: lot};
    },
    entries: signal => inLots(listed(signal)),
  };
}
