/** Everything that a source lists, sorted by where it lies. */
import {open} from 'node:fs/promises';
import {fromPrintable} from '../../src/images/printable-path.js';
import type {Entry, Source, SourceFile} from '../../src/images/source.js';

const never = new AbortController().signal;

export async function entriesOf(source: Source): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of source.entries(never)) entries.push(entry);
  return entries.sort((a, b) => (`${a.file}#${a.member}` < `${b.file}#${b.member}` ? -1 : 1));
}

export async function filesOf(source: Source): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for await (const file of source.files(never)) files.push(file);
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
