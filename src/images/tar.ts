/**
 * Where the members of a tar lie, so that each can be read on its own later; nothing is ever extracted.
 *
 * A short reader of our own, because the tar libraries stream a member's content past and keep its offset to
 * themselves. Formats: ustar, pax (path, size, sparse), GNU long names, base-256 sizes.
 */
import type {FileHandle} from 'node:fs/promises';
import {toPrintable} from './printable-path.js';

const BLOCK = 512;
/** Read at a time: many headers where members are small, little waste where they are large. */
const WINDOW = 128 * 1024;
/** Longest pax header or long name that is believed. */
const MAX_EXTENSION = 1024 * 1024;

export interface TarMember {
  /** Printable, as written in the archive: it may be absolute or hold `..`, and is only a name. */
  name: string;
  kind: 'file' | 'folder' | 'link' | 'sparse' | 'other';
  /** Where the content begins in the archive, in bytes. */
  offset: number;
  size: number;
}

/** The archive is damaged from here on; the members before were complete. */
export class TarDamage extends Error {
  override readonly name = 'TarDamage';
}

/** A name or number ends at its first NUL. */
const upToNul = (field: Buffer) => {
  const end = field.indexOf(0);
  return end === -1 ? field : field.subarray(0, end);
};

/** A numeric header field: octal text, or base-256 where the first bit is set. Null where it is neither. */
function number(field: Buffer): number | null {
  if ((field[0] ?? 0) & 0x80) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, (field[0] ?? 0) & 0x7f);
    return Number.isSafeInteger(value) ? value : null;
  }
  const text = upToNul(field).toString('latin1').trim();
  return /^[0-7]*$/.test(text) ? parseInt(text || '0', 8) : null;
}

/** The sum over a header with its checksum field counted as blanks, and as old tars with signed characters wrote it. */
function checksumHolds(header: Buffer): boolean {
  const written = number(header.subarray(148, 156));
  let unsigned = 8 * 0x20;
  let signed = unsigned;
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    unsigned += header.readUInt8(i);
    signed += header.readInt8(i);
  }
  return written === unsigned || written === signed;
}

/** The records of a pax header, `LENGTH KEY=VALUE\n` each. */
function paxRecords(content: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < content.length;) {
    const blank = content.indexOf(0x20, at);
    const length = blank === -1 ? NaN : Number(content.toString('latin1', at, blank));
    const equals = content.indexOf(0x3d, blank);
    if (!Number.isInteger(length) || length <= 0 || equals === -1 || equals >= at + length) break;
    records.set(content.toString('utf8', blank + 1, equals), content.subarray(equals + 1, at + length - 1));
    at += length;
  }
  return records;
}

function fullName(header: Buffer): Buffer {
  const name = upToNul(header.subarray(0, 100));
  const isUstar = header.toString('latin1', 257, 263) === 'ustar\0'; // GNU writes `ustar ` and keeps other things in the prefix.
  const prefix = isUstar ? upToNul(header.subarray(345, 500)) : Buffer.alloc(0);
  return prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), name]) : name;
}

const kinds: Record<string, TarMember['kind']> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'link',
  '5': 'folder',
  S: 'sparse',
};

const isZero = (bytes: Buffer) => bytes.every(byte => byte === 0);

/**
 * The members of an open tar, in order, also those of further tars behind its end mark, as `cat a.tar b.tar` leaves
 * them. Throws TarDamage where a header is wrong, a member is cut off, the end mark is missing, or what lies behind it
 * is no tar; every member yielded before that is complete.
 */
export async function* readTar(tar: FileHandle, signal: AbortSignal): AsyncGenerator<TarMember> {
  const {size: tarSize} = await tar.stat();
  let window = Buffer.alloc(0);
  let windowAt = 0;

  async function bytesAt(offset: number, length: number): Promise<Buffer> {
    if (offset < windowAt || offset + length > windowAt + window.length) {
      const wanted = Buffer.allocUnsafe(Math.min(Math.max(length, WINDOW), Math.max(0, tarSize - offset)));
      const {bytesRead} = await tar.read(wanted, 0, wanted.length, offset);
      window = wanted.subarray(0, bytesRead);
      windowAt = offset;
    }
    return window.subarray(offset - windowAt, offset - windowAt + length);
  }

  let longName: Buffer | null = null;
  let pax = new Map<string, Buffer>();
  let ended = false;
  for (let at = 0; ;) {
    signal.throwIfAborted();
    const header = await bytesAt(at, BLOCK);
    if (at === 0 && header[0] === 0x1f && header[1] === 0x8b)
      throw new TarDamage('it is compressed with gzip: unpack it with gunzip');
    if (header.length < BLOCK && !ended) throw new TarDamage(`it ends at byte ${tarSize} without an end mark`);
    if (isZero(header)) {
      if (header.length < BLOCK) return;
      ended = true;
      at += BLOCK;
      continue;
    }
    if (header.length < BLOCK || !checksumHolds(header)) {
      if (ended) throw new TarDamage(`what lies behind its end, from byte ${at} to ${tarSize}, is no tar`);
      throw new TarDamage(`the header at byte ${at} is damaged`);
    }
    ended = false;

    const type = String.fromCharCode(header.readUInt8(156));
    const paxSize = pax.get('size')?.toString('latin1');
    const size =
      paxSize === undefined ? number(header.subarray(124, 136)) : /^\d+$/.test(paxSize) ? Number(paxSize) : null;
    if (size === null || !Number.isSafeInteger(size)) throw new TarDamage(`the header at byte ${at} states no size`);
    let offset = at + BLOCK;
    if (type === 'S') {
      // GNU sparse: further blocks of the hole map may follow the header.
      for (let more = header[482]; more === 1; offset += BLOCK) more = (await bytesAt(offset, BLOCK))[504];
    }
    if (offset + size > tarSize)
      throw new TarDamage(`the member at byte ${at} is cut off: ${tarSize - offset} of ${size} bytes are there`);
    at = offset + Math.ceil(size / BLOCK) * BLOCK;

    if (type === 'L' || type === 'K' || type === 'x' || type === 'g') {
      if (size > MAX_EXTENSION)
        throw new TarDamage(`the extended header at byte ${offset - BLOCK} is ${size} bytes long`);
      const content = Buffer.from(await bytesAt(offset, size)); // A copy: the window moves on.
      if (type === 'L') longName = upToNul(content);
      if (type === 'x') pax = paxRecords(content);
      continue; // K names a link's target and g sets defaults such as a comment: neither moves a file.
    }
    const name = pax.get('path') ?? longName ?? fullName(header);
    const isSparse = [...pax.keys()].some(key => key.startsWith('GNU.sparse.'));
    yield {name: toPrintable(name), kind: isSparse ? 'sparse' : (kinds[type] ?? 'other'), offset, size};
    longName = null;
    pax = new Map();
  }
}
