/** Everything that a source lists, sorted by where it lies. */
import {open} from 'node:fs/promises';
import {lookAtFiles} from '../../src/images/file-threads.js';
import {fromPrintable} from '../../src/images/printable-path.js';
import type {Entry, Source} from '../../src/images/source.js';

const never = new AbortController().signal;

export async function entriesOf(source: Source): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const lot of source.entries(never)) entries.push(...lot);
  return entries.sort((a, b) => (`${a.file}#${a.member}` < `${b.file}#${b.member}` ? -1 : 1));
}

/** Their names, and stamps that tell whether they changed. */
export async function filesOf(source: Source): Promise<{file: string; stamp: bigint}[]> {
  const files: {file: string; stamp: bigint}[] = [];
  for await (const {names, stamps} of lookAtFiles(source.files(never), never))
    files.push(...names.map((file, index) => ({file, stamp: stamps[index]!})));
  return files.sort((a, b) => (a.file < b.file ? -1 : 1));
}

/** The bytes that an entry points at. */
export async function bytesOf(source: Source, {file, offset, length}: Entry): Promise<Buffer> {
  const handle = await open(fromPrintable(`${source.root}/${file}`), 'r');
  try {
    if (offset === null || length === null) return await handle.readFile();
    const bytes = Buffer.alloc(length);
    await handle.read(bytes, 0, length, offset);
    return bytes;
  } finally {
    await handle.close();
  }
}
