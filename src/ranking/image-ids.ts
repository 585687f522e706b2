/**
 * Image ids in bulk: 96 bits each in three 32-bit words, which order as the ids do, and a string only where one is
 * shown.
 */

export const ID_WORDS = 3;
const WORD_DIGITS = 8;
const HEX_DIGITS = ID_WORDS * WORD_DIGITS;

const NO_DIGIT = 0xff;
/** The value of each ASCII code that is a lowercase hex digit. */
const DIGITS = Uint8Array.from(
  {length: 256},
  (_, code) => '0123456789abcdef'.indexOf(String.fromCharCode(code)) & NO_DIGIT,
);

/** Puts an id, 24 lowercase hex digits in ASCII, at a row. Throws where it is none. */
export function putId(ids: Uint32Array, row: number, hex: Uint8Array): void {
  let all = hex.length === HEX_DIGITS ? 0 : NO_DIGIT;
  for (let word = 0; word < ID_WORDS; word++) {
    let value = 0;
    for (let at = word * WORD_DIGITS; at < (word + 1) * WORD_DIGITS; at++) {
      const digit = DIGITS[hex[at]!] ?? NO_DIGIT;
      all |= digit;
      value = (value << 4) | digit;
    }
    ids[row * ID_WORDS + word] = value;
  }
  if (all === NO_DIGIT)
    throw new Error(
      `expected an image id of ${HEX_DIGITS} hex digits, found ${JSON.stringify(Buffer.from(hex).toString())}`,
    );
}

export function packIds(images: readonly string[]): Uint32Array {
  const ids = new Uint32Array(images.length * ID_WORDS);
  images.forEach((image, row) => putId(ids, row, Buffer.from(image)));
  return ids;
}

/** The id at a row in hex. */
export function idAt(ids: Uint32Array, row: number): string {
  let hex = '';
  for (let word = 0; word < ID_WORDS; word++)
    hex += ids[row * ID_WORDS + word]!.toString(16).padStart(WORD_DIGITS, '0');
  return hex;
}

/** All of them in hex. */
export const unpackIds = (ids: Uint32Array): string[] =>
  Array.from({length: ids.length / ID_WORDS}, (_, row) => idAt(ids, row));

/** The row of an id; -1 where it is not among them. */
export function rowOf(ids: Uint32Array, image: string): number {
  const [high, middle, low] = packIds([image]);
  for (let at = 0; at < ids.length; at += ID_WORDS)
    if (ids[at] === high && ids[at + 1] === middle && ids[at + 2] === low) return at / ID_WORDS;
  return -1;
}

export const ID_BYTES = 12;

/** All of them as bytes, 12 each, most significant first on every processor. */
export function idBytes(ids: Uint32Array): Buffer {
  const bytes = Buffer.alloc(ids.length * (ID_BYTES / ID_WORDS));
  ids.forEach((word, index) => bytes.writeUInt32BE(word, index * 4));
  return bytes;
}

/** Below 0 where the id at a row of `a` comes before the one at a row of `b`. */
export function compareIds(a: Uint32Array, rowOfA: number, b: Uint32Array, rowOfB: number): number {
  for (let word = 0; word < ID_WORDS; word++) {
    const difference = a[rowOfA * ID_WORDS + word]! - b[rowOfB * ID_WORDS + word]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
