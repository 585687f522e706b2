/**
 * Columns as bytes: numbers and texts one after the other, small where they repeat or rise evenly. Little-endian, as
 * every processor is that onnxruntime and sharp run on.
 */
import {createHash, hash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {deflateRawSync, inflateRawSync} from 'node:zlib';
import {z} from 'zod';
import {systemCode, UserError} from '../errors.js';

/** `hashes` are random, and kept as they are; `numbers` are whole, 0 or more, and at most 2^53. */
export type Column =
  | {readonly kind: 'hashes'; readonly values: Uint32Array}
  | {readonly kind: 'words'; readonly values: Uint32Array}
  | {readonly kind: 'numbers'; readonly values: Float64Array}
  | {readonly kind: 'stamps'; readonly values: BigUint64Array}
  /** None holds a line break. */
  | {readonly kind: 'texts'; readonly values: readonly string[]};

type Kind = Column['kind'];
type ValuesOf<Of extends Kind> = Extract<Column, {kind: Of}>['values'];

const header = z.array(
  z.strictObject({
    name: z.string(),
    kind: z.enum(['hashes', 'words', 'numbers', 'stamps', 'texts']),
    length: z.int().nonnegative(),
    bytes: z.int().nonnegative(),
  }),
);

const MAGIC = 'pupil columns 1\n';
const DIGEST_BYTES = 16;
const WORD = 2 ** 32;
/** The fastest: what it leaves is a few bytes an image. */
const LEVEL = 1;

const bytesOf = ({buffer, byteOffset, byteLength}: Uint32Array | BigUint64Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);
const pack = (bytes: Buffer): Buffer => deflateRawSync(bytes, {level: LEVEL});
/** Bytes of all texts of a column: names have 4096 at most, and there are some ten thousand. */
const MOST_TEXT = 2 ** 29 - 1024;
/** Damaged bytes may stand for a thousand times as many. */
const unpack = (bytes: Buffer, most: number): Buffer => inflateRawSync(bytes, {maxOutputLength: Math.max(1, most)});

/** Each less the one before, which of numbers that rise evenly leaves one and the same. */
function differences(values: Uint32Array): Uint32Array {
  const found = new Uint32Array(values.length);
  for (let row = values.length - 1; row > 0; row--) found[row] = values[row]! - values[row - 1]!;
  if (values.length > 0) found[0] = values[0]!;
  return found;
}

function sums(values: Uint32Array): Uint32Array {
  for (let row = 1; row < values.length; row++) values[row]! += values[row - 1]!;
  return values;
}

function encode(column: Column): Buffer {
  switch (column.kind) {
    case 'hashes':
    case 'stamps':
      return bytesOf(column.values);
    case 'words':
      return pack(bytesOf(differences(column.values)));
    case 'numbers': {
      const low = Uint32Array.from(column.values, value => value % WORD);
      const high = Uint32Array.from(column.values, value => value / WORD);
      return pack(Buffer.concat([bytesOf(differences(low)), bytesOf(differences(high))]));
    }
    case 'texts':
      return pack(Buffer.from(column.values.join('\n')));
  }
}

/** A copy, since bytes of a file begin anywhere. */
function wordsOf(bytes: Uint8Array, length: number): Uint32Array {
  if (bytes.byteLength !== length * 4) throw new Error(`expected ${length} words, found ${bytes.byteLength} bytes`);
  const words = new Uint32Array(length);
  bytesOf(words).set(bytes);
  return words;
}

function decode(kind: Kind, bytes: Buffer, length: number): Column['values'] {
  switch (kind) {
    case 'hashes':
      return wordsOf(bytes, length);
    case 'stamps':
      return new BigUint64Array(wordsOf(bytes, length * 2).buffer);
    case 'words':
      return sums(wordsOf(unpack(bytes, length * 4), length));
    case 'numbers': {
      const both = wordsOf(unpack(bytes, length * 8), length * 2);
      const [low, high] = [sums(both.subarray(0, length)), sums(both.subarray(length))];
      return Float64Array.from(low, (value, row) => value + high[row]! * WORD);
    }
    case 'texts': {
      const texts = length === 0 ? [] : unpack(bytes, MOST_TEXT).toString().split('\n');
      if (texts.length !== length) throw new Error(`expected ${length} texts, found ${texts.length}`);
      return texts;
    }
  }
}

export function encodeColumns(columns: Readonly<Record<string, Column>>): Buffer {
  const encoded = Object.entries(columns).map(([name, column]) => ({name, column, bytes: encode(column)}));
  const about: z.infer<typeof header> = encoded.map(({name, column: {kind, values}, bytes}) => ({
    name,
    kind,
    length: values.length,
    bytes: bytes.length,
  }));
  return sealed(Buffer.concat([Buffer.from(`${JSON.stringify(about)}\n`), ...encoded.map(({bytes}) => bytes)]));
}

const digestOf = (body: Uint8Array): Buffer => hash('sha256', body, 'buffer').subarray(0, DIGEST_BYTES);

/** With what tells that it is whole: nobody who reads a part of a pool reads the rest of it, to know. */
export const sealed = (body: Buffer): Buffer => Buffer.concat([Buffer.from(MAGIC), digestOf(body), body]);

/** What `sealed` was given. Throws where it is not as it was. */
export function bodyOf(bytes: Buffer): Buffer {
  const [magic, digest] = [bytes.subarray(0, MAGIC.length), bytes.subarray(MAGIC.length, MAGIC.length + DIGEST_BYTES)];
  const body = bytes.subarray(MAGIC.length + DIGEST_BYTES);
  if (magic.toString('latin1') !== MAGIC) throw new Error('it holds no columns');
  if (!digest.equals(digestOf(body))) throw new Error('its bytes are not those that were written');
  return body;
}

/** SHA-256 of the hashes of some files, in order; null where one is gone. */
export async function digestOfFiles(files: readonly string[]): Promise<string | null> {
  const digest = createHash('sha256');
  for (const file of files) {
    if (!existsSync(file)) return null;
    digest.update(hash('sha256', await readFile(file), 'buffer'));
  }
  return digest.digest('hex');
}

/** Columns by name; null where there is none of it. */
export type ReadColumn = <Of extends Kind>(name: string, kind: Of) => ValuesOf<Of> | null;

/** Reads a file of columns. Throws (exit 3) where it is damaged, or cannot be read. */
export async function readColumns(file: string): Promise<ReadColumn> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const code = systemCode(error);
    if (code === null) throw error;
    throw new UserError('DAMAGED_FILE', `${file} cannot be read (${code}).`, {cause: error});
  }
  return columnsOf(file, bytes);
}

/** Takes the bytes of `file` apart, each column as it is asked for. Throws (exit 3) where they are damaged. */
export function columnsOf(file: string, bytes: Buffer): ReadColumn {
  let body: Buffer;
  const damaged = (cause: unknown) =>
    new UserError('DAMAGED_FILE', `${file} is damaged (${cause instanceof Error ? cause.message : String(cause)}).`, {
      cause,
    });
  const places = new Map<string, z.infer<typeof header>[number] & {at: number}>();
  try {
    body = bodyOf(bytes);
    const end = body.indexOf('\n');
    let at = end + 1;
    for (const column of header.parse(JSON.parse(body.toString('utf8', 0, Math.max(0, end))))) {
      places.set(column.name, {...column, at});
      at += column.bytes;
    }
    if (at !== body.length) throw new Error(`${body.length} bytes, expected ${at}`);
  } catch (error) {
    throw damaged(error);
  }
  return <Of extends Kind>(name: string, kind: Of) => {
    const found = places.get(name);
    if (found === undefined) return null;
    try {
      if (found.kind !== kind) throw new Error(`column ${name} holds ${found.kind}, expected ${kind}`);
      // What `decode` makes of a kind is of that kind.
      return decode(kind, body.subarray(found.at, found.at + found.bytes), found.length) as ValuesOf<Of>;
    } catch (error) {
      throw damaged(error);
    }
  };
}

/** One that must be there. Throws (exit 3) where it is not. */
export function required<Values>(file: string, name: string, values: Values | null): Values {
  if (values === null) throw new UserError('DAMAGED_FILE', `${file} is damaged (it lacks the column ${name}).`);
  return values;
}
