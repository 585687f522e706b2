/**
 * What a source lists, as columns in files of some ten thousand images each, in the order of the source: written once
 * by the worker, and never changed.
 */
import {createHash, hash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {readdir, writeFile} from 'node:fs/promises';
import path from 'node:path';
import type {ImageReference} from '../children/protocol.js';
import {UserError} from '../errors.js';
import {publishFile} from '../files/publish.js';
import {ID_WORDS, idAt} from '../ranking/image-ids.js';
import {digestOfFiles, encodeColumns, readColumns, required} from './columns.js';

/** An image that a source lists, and where. */
export interface ListedImage {
  readonly id: string;
  /** Relative to the root of the source; the place that people see is root/file#member. */
  readonly file: string;
  readonly member: string | null;
  readonly offset: number | null;
  readonly length: number | null;
  readonly encoding: ImageReference['encoding'];
  readonly label: string | null;
}
/** The same before its bytes are read. */
type Unread = Omit<ListedImage, 'id'>;

/** Images of one file at most: so many that the columns compress, and so few that one is read in some milliseconds. */
export const CHUNK_ROWS = 65_536;
/** More are not added between two calls of `flush`. */
const ROWS_AT_ONCE = 4096;

/** Names that come again and again, by number in the order of their first use. */
class Names {
  readonly list: string[] = [];
  readonly #numbers = new Map<string, number>();
  #last = '';
  #lastNumber = -1;

  numberOf(name: string): number {
    if (name === this.#last && this.#lastNumber !== -1) return this.#lastNumber;
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.list.push(name) - 1;
      this.#numbers.set(name, number);
    }
    this.#last = name;
    this.#lastNumber = number;
    return number;
  }
}

const chunkFile = (folder: string, chunk: number): string =>
  path.join(folder, `${String(chunk).padStart(5, '0')}.columns`);

/** Where each archive begins, of those whose images lie in one together. */
const archivesFile = (folder: string): string => path.join(folder, 'archives.columns');

/** What was written of a source. */
export interface WrittenListing {
  /** Rows of each file. */
  readonly chunks: number[];
  /** SHA-256 of the hashes of all files. */
  readonly digest: string;
}

export interface ListingWriter {
  /**
   * Takes the image at `row` of `ids`. `stamp` is of its file, by which a later listing knows it; NO_STAMP where nobody
   * looked.
   */
  add(entry: Unread, ids: Uint32Array, row: number, stamp: bigint): void;
  /** Whether there is enough for a file: then `flush` before much more is added. */
  isFull(): boolean;
  /** Publishes a file where there is enough for one. */
  flush(): Promise<void>;
  close(): Promise<WrittenListing>;
}

/** Writes into a folder of its own. */
export function openListing(folder: string): ListingWriter {
  const chunks: number[] = [];
  const digest = createHash('sha256');
  /** The first file of the listing that names each. */
  const archives = new Map<string, number>();
  let chunk = newChunk();
  const publish = async () => {
    const bytes = encodeColumns(chunk.columns());
    await publishFile(chunkFile(folder, chunks.length), temporary => writeFile(temporary, bytes));
    digest.update(hash('sha256', bytes, 'buffer'));
    chunks.push(chunk.rows);
    chunk = newChunk();
  };
  return {
    add(entry, ids, row, stamp) {
      chunk.add(entry, ids, row, stamp);
      if (entry.offset !== null && !archives.has(entry.file)) archives.set(entry.file, chunks.length);
    },
    isFull: () => chunk.rows > CHUNK_ROWS - ROWS_AT_ONCE,
    async flush() {
      if (chunk.rows > CHUNK_ROWS - ROWS_AT_ONCE) await publish();
    },
    async close() {
      if (chunk.rows > 0) await publish();
      if (archives.size > 0) {
        const bytes = encodeColumns({
          files: {kind: 'texts', values: [...archives.keys()]},
          chunks: {kind: 'words', values: Uint32Array.from(archives.values())},
        });
        await publishFile(archivesFile(folder), temporary => writeFile(temporary, bytes));
        digest.update(hash('sha256', bytes, 'buffer'));
      }
      return {chunks, digest: digest.digest('hex')};
    },
  };
}

function newChunk() {
  const files = new Names();
  const labels = new Names();
  const encodings = new Names();
  const stamps: bigint[] = [];
  const members: string[] = [];
  const ids = new Uint32Array(CHUNK_ROWS * ID_WORDS);
  const [file, label, encoding] = [0, 0, 0].map(() => new Uint32Array(CHUNK_ROWS)) as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  const [offset, length] = [0, 0].map(() => new Float64Array(CHUNK_ROWS)) as [Float64Array, Float64Array];
  let rows = 0;
  let hasRanges = false;
  return {
    get rows() {
      return rows;
    },
    add(entry: Unread, from: Uint32Array, row: number, stamp: bigint): void {
      if (rows === CHUNK_ROWS) throw new Error('A file of a listing was given more images than it takes.');
      for (let word = 0; word < ID_WORDS; word++) ids[rows * ID_WORDS + word] = from[row * ID_WORDS + word]!;
      const number = files.numberOf(entry.file);
      file[rows] = number;
      stamps[number] = stamp;
      encoding[rows] = encodings.numberOf(entry.encoding);
      // 0 for none.
      label[rows] = entry.label === null ? 0 : labels.numberOf(entry.label) + 1;
      // One more than it is; 0 for none.
      offset[rows] = entry.offset === null ? 0 : entry.offset + 1;
      length[rows] = entry.length === null ? 0 : entry.length + 1;
      members.push(entry.member ?? '');
      hasRanges ||= entry.offset !== null || entry.length !== null || entry.member !== null;
      rows++;
    },
    columns: () => ({
      ids: {kind: 'hashes', values: ids.subarray(0, rows * ID_WORDS)} as const,
      files: {kind: 'texts', values: files.list} as const,
      stamps: {kind: 'stamps', values: BigUint64Array.from(stamps)} as const,
      file: {kind: 'words', values: file.subarray(0, rows)} as const,
      encodings: {kind: 'texts', values: encodings.list} as const,
      encoding: {kind: 'words', values: encoding.subarray(0, rows)} as const,
      ...(labels.list.length > 0 && {
        labels: {kind: 'texts', values: labels.list} as const,
        label: {kind: 'words', values: label.subarray(0, rows)} as const,
      }),
      ...(hasRanges && {
        members: {kind: 'texts', values: members} as const,
        offset: {kind: 'numbers', values: offset.subarray(0, rows)} as const,
        length: {kind: 'numbers', values: length.subarray(0, rows)} as const,
      }),
    }),
  };
}

const isEncoding = (name: string): name is ListedImage['encoding'] => name === 'encoded' || name === 'cifar';

/** One file of a listing. */
export interface ListingChunk {
  readonly rows: number;
  /** Three words each. */
  readonly ids: Uint32Array;
  /** Distinct names of files, and the stamp of each. */
  readonly files: readonly string[];
  readonly stamps: BigUint64Array;
  /** By number, of each row. */
  readonly file: Uint32Array;
  /** Of each row; null where all are whole files. */
  readonly offsets: Float64Array | null;
  imageAt(row: number): ListedImage;
}

/** Reads the file `chunk` of a listing. Throws (exit 3) where it is damaged or gone. */
export async function readChunk(folder: string, chunk: number): Promise<ListingChunk> {
  const file = chunkFile(folder, chunk);
  const read = await readColumns(file);
  const must = <Values>(name: string, values: Values | null): Values => required(file, name, values);
  const ids = must('ids', read('ids', 'hashes'));
  const files = must('files', read('files', 'texts'));
  const fileOf = must('file', read('file', 'words'));
  const stamps = must('stamps', read('stamps', 'stamps'));
  const encodings = must('encodings', read('encodings', 'texts'));
  const encoding = must('encoding', read('encoding', 'words'));
  const [labels, label] = [read('labels', 'texts'), read('label', 'words')];
  const [members, offset, length] = [read('members', 'texts'), read('offset', 'numbers'), read('length', 'numbers')];
  const rows = fileOf.length;
  const isWhole =
    ids.length === rows * ID_WORDS &&
    stamps.length === files.length &&
    [encoding, label, members, offset, length].every(column => column === null || column.length === rows) &&
    fileOf.every(number => number < files.length) &&
    encoding.every(number => number < encodings.length) &&
    (label === null || label.every(number => number <= (labels?.length ?? 0)));
  if (!isWhole || !encodings.every(isEncoding))
    throw new UserError('DAMAGED_FILE', `${file} is damaged (its columns do not belong together).`);
  return {
    rows,
    ids,
    files,
    stamps,
    file: fileOf,
    offsets: offset,
    imageAt: row => ({
      id: idAt(ids, row),
      file: files[fileOf[row]!]!,
      member: members?.[row] || null,
      offset: offset?.[row] ? offset[row] - 1 : null,
      length: length?.[row] ? length[row] - 1 : null,
      encoding: encodings[encoding[row]!]!,
      label: label?.[row] ? labels![label[row] - 1]! : null,
    }),
  };
}

/** How many files of a listing there are, whole or broken off. */
export async function chunksIn(folder: string): Promise<number> {
  const names = existsSync(folder) ? await readdir(folder) : [];
  return names.filter(name => /^\d{5,}\.columns$/.test(name)).length;
}

/** The digest that `close` told of, taken again; null where a file is gone. */
export const digestOfListing = (folder: string, chunks: number): Promise<string | null> =>
  digestOfFiles(listingFiles(folder, chunks));

/** The files of a listing, in order. */
export const listingFiles = (folder: string, chunks: number): string[] => [
  ...Array.from({length: chunks}, (_, chunk) => chunkFile(folder, chunk)),
  ...(existsSync(archivesFile(folder)) ? [archivesFile(folder)] : []),
];

/** Archives by name, with the file of the listing that each begins in; null where images are files of their own. */
export async function archivesOf(folder: string): Promise<ReadonlyMap<string, number> | null> {
  const file = archivesFile(folder);
  if (!existsSync(file)) return null;
  const read = await readColumns(file);
  const chunks = required(file, 'chunks', read('chunks', 'words'));
  return new Map(required(file, 'files', read('files', 'texts')).map((name, index) => [name, chunks[index]!]));
}

/** Every image of a listing, in order. */
export async function* listedImages(folder: string, chunks: number): AsyncGenerator<ListedImage> {
  for (let number = 0; number < chunks; number++) {
    const chunk = await readChunk(folder, number);
    for (let row = 0; row < chunk.rows; row++) yield chunk.imageAt(row);
  }
}
