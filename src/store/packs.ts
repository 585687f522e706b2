/** What the packs of labelled pictures were made of: one that would be made of the same is not made again. */
import {parseCell} from './cell.js';
import type {Connection} from './connection.js';

export interface PackRecord {
  /** SHA-256 of its pictures in order, their labels, and how they become pixels. */
  readonly made: string;
  /** The SHA-256 of its files by name. */
  readonly files: Readonly<Record<string, string>>;
}

export function packTable(connection: Connection) {
  const read = connection.prepare<[string], {made: string; files: string}>(
    'SELECT made, files FROM packs WHERE name = ?',
  );
  const write = connection.prepare<[string, string, string]>(
    'INSERT OR REPLACE INTO packs (name, made, files) VALUES (?, ?, ?)',
  );
  const forget = connection.prepare<[string]>('DELETE FROM packs WHERE name = ?');
  return {
    read(name: string): PackRecord | null {
      const row = read.get(name);
      if (!row) return null;
      return {...row, files: parseCell(connection, `the files of pack ${name}`, row.files) as Record<string, string>};
    },
    write(name: string, {made, files}: PackRecord): void {
      write.run(name, made, JSON.stringify(files));
    },
    forget(name: string): void {
      forget.run(name);
    },
  };
}
