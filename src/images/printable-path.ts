/**
 * Paths as strings that are safe to show, to store and to open again: whatever is no plain text is written as `\xHH`.
 */
import {isUtf8} from 'node:buffer';
import {sequenceLength} from '../files/text.js';

/** Backslash, controls, and the marks that turn a line of text around or end it. */
const unprintable = /[\\\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

const escapeBytes = (bytes: Uint8Array) =>
  Array.from(bytes, byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('');

/** The printable form of a path as the file system gave it. Reversed by `fromPrintable`. */
export function toPrintable(path: Uint8Array): string {
  const bytes = Buffer.from(path.buffer, path.byteOffset, path.byteLength);
  const text = bytes.toString('utf8');
  if (isUtf8(bytes) && !unprintable.test(text)) return text;

  let printable = '';
  for (let at = 0; at < bytes.length;) {
    const sequence = bytes.subarray(at, at + sequenceLength(bytes[at] ?? 0));
    const whole = isUtf8(sequence);
    const character = sequence.toString('utf8');
    printable +=
      whole && !unprintable.test(character) ? character : escapeBytes(whole ? sequence : sequence.subarray(0, 1));
    at += whole ? sequence.length : 1;
  }
  return printable;
}

/** What `fs` takes for a printable path: the string itself, or its bytes where some are escaped. */
export function fromPrintable(printable: string): string | Buffer {
  if (!printable.includes('\\')) return printable;
  return Buffer.concat(
    printable
      .split(/(\\x[0-9a-f]{2})/)
      .map((part, i) => (i % 2 === 1 ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part))),
  );
}
