/** What the packs of labelled pictures were made of: one that would be made of the same is not made again. */
import {parseCell} from './cell.js';
import type {Connection} from './connection.js';

export interface PackRecord {
  /** SHA-256 of its pictures in order, their labels, and how they become pixels. */
  readonly made: string;
  /** The stamps of its files by name. */
  readonly files: Readonly<Record<string, string>>;
}

export function packTable(connection: Connection) {
  const read = connection.prepare<[string], {made: string; files: string}>(
    'SELECT made, files FROM packs WHERE name = ?',
  );
  const write = connection.prepare<[string, string, string]>(
    'INSERT OR REPLACE INTO packs (name, made, files) VALUES (?, ?, ?)',
  );
  const all = connection.prepare<[], {name: string; made: string; files: string}>(
    'SELECT name, made, files FROM packs',
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
    /** Gives files new stamps by their old ones, where only the stamp changed. Call inside `atomically`. */
    renewStamps(renewed: ReadonlyMap<string, string>): void {
      for (const {name, made, files} of all.all()) {
        const stamps = parseCell(connection, `the files of pack ${name}`, files) as Record<string, string>;
        const now = Object.entries(stamps).map(([file, stamp]) => [file, renewed.get(stamp) ?? stamp]);
        write.run(name, made, JSON.stringify(Object.fromEntries(now)));
      }
    },
    forget(name: string): void {
      forget.run(name);
    },
  };
}
