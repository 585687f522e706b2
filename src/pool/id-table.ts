/**
 * A table of images with a number each, in the order of their ids, on disk: made and read a part at a time, whatever
 * its size. A part holds the ids that begin with the same bits, so that two tables are compared part by part. An id may
 * have several records, next to each other.
 */
import {createHash, hash} from 'node:crypto';
import {closeSync, mkdirSync, openSync, readSync, rmSync, writeSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import {publishFolder} from '../files/publish.js';
import {ID_WORDS, packIds} from '../ranking/image-ids.js';
import {digestOfFiles, encodeColumns, readColumns, required} from './columns.js';

/** A record: the id in three words, and the number. */
export const RECORD_WORDS = ID_WORDS + 1;
const NUMBER = ID_WORDS;
const ID_DIGITS = ID_WORDS * 8;

export const numberAt = (records: Uint32Array, row: number): number => records[row * RECORD_WORDS + NUMBER]!;
export const rowsOf = (records: Uint32Array): number => records.length / RECORD_WORDS;

/** Of a part, when ids are spread evenly, as hashes are. */
const PART_ROWS = 65_536;
const MOST_BITS = 16;

/** How many leading bits tell the part of an id, where there are so many rows. */
export const bitsFor = (rows: number): number =>
  Math.min(MOST_BITS, Math.max(0, Math.ceil(Math.log2(Math.max(1, rows) / PART_ROWS))));

export const partsOf = (bits: number): number => 2 ** bits;
/** `first` is the first word of an id. */
export const partOf = (first: number, bits: number): number => (bits === 0 ? 0 : first >>> (32 - bits));

/** Where a table lies, and what there is of it. */
export interface IdTable {
  readonly folder: string;
  readonly bits: number;
  readonly rows: number;
  /** SHA-256 of the hashes of its files. */
  readonly digest: string;
}

const partFile = (folder: string, part: number): string =>
  path.join(folder, `${part.toString(16).padStart(4, '0')}.ids`);

export const tableFiles = ({folder, bits}: IdTable): string[] =>
  Array.from({length: partsOf(bits)}, (_, part) => partFile(folder, part));

/** Publishes a table of parts that come in order, each with its records in the order of their ids. */
export function writeTable(
  folder: string,
  bits: number,
  part: (part: number) => Promise<Uint32Array>,
): Promise<IdTable> {
  return publishFolder(folder, async temporary => {
    let rows = 0;
    const digest = createHash('sha256');
    for (let number = 0; number < partsOf(bits); number++) {
      const records = await part(number);
      rows += rowsOf(records);
      const bytes = encodeColumns({records: {kind: 'hashes', values: records}});
      digest.update(hash('sha256', bytes, 'buffer'));
      await writeFile(partFile(temporary, number), bytes);
    }
    return {folder, bits, rows, digest: digest.digest('hex')};
  });
}

/** Whether its files are those that were written. */
export const isWhole = async (table: IdTable): Promise<boolean> =>
  (await digestOfFiles(tableFiles(table))) === table.digest;

async function readPart({folder}: IdTable, part: number): Promise<Uint32Array> {
  const file = partFile(folder, part);
  return required(file, 'records', (await readColumns(file))('records', 'hashes'));
}

/** The first row whose id is not before `first`, a first word. */
function lowerBound(records: Uint32Array, first: number): number {
  let [from, to] = [0, rowsOf(records)];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (records[middle * RECORD_WORDS]! < first) from = middle + 1;
    else to = middle;
  }
  return from;
}

/**
 * Reads a table in parts of `bits`, whatever parts it was written in; the last one that was read is kept. Of no table
 * there is nothing.
 */
export function openTable(table: IdTable | null, bits: number): (part: number) => Promise<Uint32Array> {
  if (table === null) return () => Promise.resolve(new Uint32Array());
  let last: {part: number; records: Uint32Array} | null = null;
  return async part => {
    if (bits <= table.bits) {
      const each = partsOf(table.bits - bits);
      const parts: Uint32Array[] = [];
      for (let finer = part * each; finer < (part + 1) * each; finer++) parts.push(await readPart(table, finer));
      return each === 1 ? parts[0]! : concatenated(parts);
    }
    const coarser = Math.floor(part / partsOf(bits - table.bits));
    if (last?.part !== coarser) last = {part: coarser, records: await readPart(table, coarser)};
    const {records} = last;
    const from = lowerBound(records, part * 2 ** (32 - bits));
    const to = part + 1 === partsOf(bits) ? rowsOf(records) : lowerBound(records, (part + 1) * 2 ** (32 - bits));
    return records.subarray(from * RECORD_WORDS, to * RECORD_WORDS);
  };
}

function concatenated(parts: readonly Uint32Array[]): Uint32Array {
  const all = new Uint32Array(parts.reduce((sum, {length}) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** How a table differs from another, in distinct ids. */
export interface TableChange {
  /** Ids that only the one has, that both have, and that only the other has. */
  readonly added: number;
  readonly stayed: number;
  readonly left: number;
  /** Of those that both have, the numbers that the other has for them. */
  readonly numbers: ReadonlySet<number>;
}

export async function compareTables(now: IdTable, before: IdTable): Promise<TableChange> {
  const [ours, theirs] = [openTable(now, now.bits), openTable(before, now.bits)];
  const counts = {added: 0, stayed: 0, left: 0};
  const numbers = new Set<number>();
  for (let part = 0; part < partsOf(now.bits); part++) {
    const [one, other] = [await ours(part), await theirs(part)];
    const nextId = (records: Uint32Array, row: number) => {
      let next = row + 1;
      while (next < rowsOf(records) && !isFirstOfId(records, next)) next++;
      return next;
    };
    let [row, otherRow] = [0, 0];
    while (row < rowsOf(one) || otherRow < rowsOf(other)) {
      const order =
        row === rowsOf(one) ? 1 : otherRow === rowsOf(other) ? -1 : compareRecords(one, row, other, otherRow);
      if (order === 0) {
        counts.stayed++;
        numbers.add(numberAt(other, otherRow));
      } else if (order < 0) counts.added++;
      else counts.left++;
      if (order <= 0) row = nextId(one, row);
      if (order >= 0) otherRow = nextId(other, otherRow);
    }
  }
  return {...counts, numbers};
}

/** Every number that an id has in a table. */
export async function numbersOf(table: IdTable, id: Uint32Array): Promise<number[]> {
  const records = await readPart(table, partOf(id[0]!, table.bits));
  const found: number[] = [];
  for (let row = lowerBound(records, id[0]!); row < rowsOf(records) && records[row * RECORD_WORDS] === id[0]; row++)
    if (compareRecords(records, row, id, 0) === 0) found.push(numberAt(records, row));
  return found;
}

/** The first few distinct ids, three words each, that begin with some hex digits. */
export async function idsWithPrefix(table: IdTable, prefix: string, most: number): Promise<Uint32Array> {
  const [from, to] = [packIds([prefix.padEnd(ID_DIGITS, '0')]), packIds([prefix.padEnd(ID_DIGITS, 'f')])];
  const found: number[] = [];
  for (let part = partOf(from[0]!, table.bits); part <= partOf(to[0]!, table.bits); part++) {
    const records = await readPart(table, part);
    for (let row = lowerBound(records, from[0]!); row < rowsOf(records); row++) {
      if (compareRecords(records, row, to, 0) > 0) break;
      if (compareRecords(records, row, from, 0) < 0) continue;
      if (!isFirstOfId(records, row)) continue;
      found.push(...records.subarray(row * RECORD_WORDS, row * RECORD_WORDS + ID_WORDS));
      if (found.length === most * ID_WORDS) return Uint32Array.from(found);
    }
  }
  return Uint32Array.from(found);
}

/** Below 0 where the id of a record comes before that of another; `b` may be an id alone, at row 0. */
export function compareRecords(a: Uint32Array, rowOfA: number, b: Uint32Array, rowOfB: number): number {
  for (let word = 0; word < ID_WORDS; word++) {
    const difference = a[rowOfA * RECORD_WORDS + word]! - b[rowOfB * RECORD_WORDS + word]!;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether a record is the first of its id, which stands for the image. */
export const isFirstOfId = (records: Uint32Array, row: number): boolean =>
  row === 0 || compareRecords(records, row - 1, records, row) !== 0;

/** Rows that a float tells beside a word of an id. */
const MOST_ROWS = 2 ** 21;

/**
 * The records of a part in the order of their ids; those of one id stay in the order in which they came. `bits` tell
 * the part.
 */
export function sortedById(records: Uint32Array, bits: number): Uint32Array {
  const rows = rowsOf(records);
  const order = rows <= MOST_ROWS ? orderByKey(records, rows, bits) : Uint32Array.from({length: rows}, (_, row) => row);
  if (rows > MOST_ROWS) order.sort((a, b) => compareRecords(records, a, records, b) || a - b);
  const sorted = new Uint32Array(records.length);
  for (let row = 0; row < rows; row++) {
    const from = order[row]! * RECORD_WORDS;
    for (let word = 0; word < RECORD_WORDS; word++) sorted[row * RECORD_WORDS + word] = records[from + word]!;
  }
  return sorted;
}

/** By 32 bits behind those that all have in common, as numbers, which sort many times as fast; then what these left. */
function orderByKey(records: Uint32Array, rows: number, bits: number): Uint32Array {
  const keys = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const at = row * RECORD_WORDS;
    const next = bits === 0 ? 0 : records[at + 1]! >>> (32 - bits);
    keys[row] = (((records[at]! << bits) | next) >>> 0) * MOST_ROWS + row;
  }
  keys.sort();
  const order = Uint32Array.from(keys, key => key % MOST_ROWS);
  for (let row = 1; row < rows; row++) {
    const moving = order[row]!;
    let to = row;
    for (; to > 0 && compareRecords(records, moving, records, order[to - 1]!) < 0; to--) order[to] = order[to - 1]!;
    order[to] = moving;
  }
  return order;
}

/** Bytes that wait for each part before they are written. */
const ROOM_BYTES = 64 * 1024;
const MOST_ROOM_BYTES = 32 * 1024 * 1024;

/** Records on their way to their parts: spread over files, in bounded memory, each kept in the order of coming. */
export interface Spread {
  /** Takes the record at a row of others to a part. */
  add(part: number, records: Uint32Array, row: number): void;
  /** What came of a part. */
  part(part: number): Uint32Array;
  close(): void;
}

/** Writes into a folder of its own, which goes when it is closed. Records may be wider than those of a table. */
export function openSpread(folder: string, parts: number, width = RECORD_WORDS): Spread {
  rmSync(folder, {recursive: true, force: true});
  mkdirSync(folder, {recursive: true});
  const room = Math.floor(Math.min(ROOM_BYTES, Math.max(width * 4, MOST_ROOM_BYTES / parts)) / (width * 4));
  const waiting = Array.from({length: parts}, () => ({records: new Uint32Array(0), rows: 0, written: 0}));
  const fileOf = (part: number): string => path.join(folder, String(part));
  const bytesOf = ({buffer, byteOffset, byteLength}: Uint32Array): Buffer =>
    Buffer.from(buffer, byteOffset, byteLength);
  const write = (part: number) => {
    const one = waiting[part]!;
    const file = openSync(fileOf(part), 'a');
    try {
      const bytes = bytesOf(one.records.subarray(0, one.rows * width));
      for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
    } finally {
      closeSync(file);
    }
    one.written += one.rows;
    one.rows = 0;
  };
  return {
    add(part, records, row) {
      const one = waiting[part]!;
      if (one.records.length === 0) one.records = new Uint32Array(room * width);
      const [to, from] = [one.rows * width, row * width];
      for (let word = 0; word < width; word++) one.records[to + word] = records[from + word]!;
      if (++one.rows === room) write(part);
    },
    part(part) {
      const one = waiting[part]!;
      const all = new Uint32Array((one.written + one.rows) * width);
      if (one.written > 0) {
        const file = openSync(fileOf(part), 'r');
        try {
          const bytes = bytesOf(all.subarray(0, one.written * width));
          for (let at = 0; at < bytes.length;) {
            const read = readSync(file, bytes, at, bytes.length - at, at);
            if (read === 0) throw new Error(`${fileOf(part)} was cut short while it was in use.`);
            at += read;
          }
        } finally {
          closeSync(file);
        }
      }
      all.set(one.records.subarray(0, one.rows * width), one.written * width);
      return all;
    },
    close() {
      rmSync(folder, {recursive: true, force: true});
    },
  };
}
