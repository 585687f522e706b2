/** The one reader of text that people give us: UTF-8, with or without a byte order mark, or refused with its line. */
import {isUtf8} from 'node:buffer';

/**
 * The bytes are no UTF-8 text from this line on. The message says what was found and how to convert it, and follows the
 * name of the file.
 */
export class NotText extends Error {
  override readonly name = 'NotText';
  constructor(
    readonly line: number,
    message: string,
  ) {
    super(message);
  }
}

const NEWLINE = 0x0a;

/**
 * Why bytes that begin at `line` are no text; `isStart` tells whether they are the first of the file, where UTF-16 has
 * its mark.
 */
function explain(bytes: Buffer, line: number, isStart: boolean): NotText {
  const head = isStart ? bytes.toString('latin1', 0, 2) : '';
  if (head === '\xff\xfe' || head === '\xfe\xff' || (isUtf8(bytes) && bytes.includes(0))) {
    return new NotText(
      line,
      `line ${line} is no UTF-8 text: it reads like UTF-16. Convert the file:  iconv -f UTF-16 -t UTF-8 OLD > NEW`,
    );
  }
  let at = 0;
  let bad = line;
  for (
    let end = bytes.indexOf(NEWLINE);
    end !== -1 && isUtf8(bytes.subarray(at, end));
    end = bytes.indexOf(NEWLINE, at)
  ) {
    at = end + 1;
    bad++;
  }
  const byte = firstBadByte(bytes.subarray(at));
  return new NotText(
    bad,
    `line ${bad} is no UTF-8 text (byte 0x${byte.toString(16)}); often such a file is Windows-1252. Convert it:  iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`,
  );
}

function firstBadByte(bytes: Buffer): number {
  let at = 0;
  while (at < bytes.length && isUtf8(bytes.subarray(at, at + sequenceLength(bytes[at]!))))
    at += sequenceLength(bytes[at]!);
  return bytes[at] ?? 0;
}

/** Bytes of the character that begins with this one. */
export const sequenceLength = (lead: number) => (lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);

/** The text piece by piece, without its mark. Throws NotText. */
export async function* decodeStream(input: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', {fatal: true});
  let line = 1;
  let isStart = true;
  /** The bytes of a character that a chunk was cut in. */
  let carried: Buffer = Buffer.alloc(0);
  const decode = (chunk: Buffer, isEnd: boolean): string => {
    const bytes = Buffer.concat([carried, chunk]);
    const whole = isEnd ? bytes.length : completeLength(bytes);
    carried = bytes.subarray(whole);
    const complete = bytes.subarray(0, whole);
    if (!isUtf8(complete) || complete.includes(0)) throw explain(complete, line, isStart);
    // The decoder drops the mark at the start of its stream, and nowhere else.
    const text = decoder.decode(complete, {stream: true});
    for (let at = complete.indexOf(NEWLINE); at !== -1; at = complete.indexOf(NEWLINE, at + 1)) line++;
    if (complete.length > 0) isStart = false;
    return text;
  };
  for await (const chunk of input) yield decode(chunk, false);
  yield decode(Buffer.alloc(0), true);
}

/** How many bytes there are up to the end of the last character that is not cut off. */
function completeLength(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte >= 0xc0) return sequenceLength(byte) > back ? bytes.length - back : bytes.length;
    if (byte < 0x80) break;
  }
  return bytes.length;
}

/** The lines of a text without their ends, the last one also where it lacks its newline. Throws NotText. */
export async function* decodeLines(input: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let begun = '';
  for await (const piece of decodeStream(input)) {
    if (!piece.includes('\n')) {
      begun += piece;
      continue;
    }
    const lines = (begun + piece).split('\n');
    begun = lines.pop() ?? '';
    for (const line of lines) yield line.replace(/\r$/, '');
  }
  if (begun !== '') yield begun.replace(/\r$/, '');
}

/** A whole text without its mark. Throws NotText. */
export function decodeText(bytes: Buffer): string {
  if (!isUtf8(bytes) || bytes.includes(0)) throw explain(bytes, 1, true);
  return new TextDecoder('utf-8').decode(bytes);
}
