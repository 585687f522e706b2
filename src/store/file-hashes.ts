/**
 * The hashes of a home's files, by what changes when their bytes do: what was hashed once, for whichever run, is not
 * read again.
 */
import {existsSync, rmSync} from 'node:fs';
import path from 'node:path';
import {loadSqlite} from '../compiled-packages.js';
import type {Connection} from './connection.js';

const Database = loadSqlite();

/** A row a file: an earlier state of it tells nothing any more. */
const SCHEMA =
  'CREATE TABLE IF NOT EXISTS hashes (file TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT, WITHOUT ROWID';

/** A file as the file system tells it: its disk and its inode, and its size and times. */
export interface FileStamp {
  readonly file: string;
  readonly stamp: string;
}

export interface FileHashes {
  get(file: FileStamp): string | null;
  /** Lost where it cannot be written: it costs no more than hashing the file again. */
  set(file: FileStamp, sha256: string): void;
  close(): void;
}

const fileOf = (databaseFolder: string): string => path.join(databaseFolder, 'file-hashes');

/** Nothing is remembered: for a run that is yet to be, and for whoever can read nothing of it. */
export const noHashes = (): FileHashes => ({get: () => null, set: () => {}, close: () => {}});

/** Opens those beside a run's database; whoever only looks gets what there is. */
export function openFileHashes(databaseFolder: string, {readonly}: {readonly readonly: boolean}): FileHashes {
  const file = fileOf(databaseFolder);
  if (readonly && !existsSync(file)) return noHashes();
  try {
    return hashesOf(openAt(file, readonly));
  } catch (error) {
    const isGarbled = error instanceof Database.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(error.code);
    if (readonly || !isGarbled) return noHashes();
  }
  // It holds nothing that cannot be found out again.
  for (const left of ['', '-journal']) rmSync(file + left, {force: true});
  return hashesOf(openAt(file, false));
}

function openAt(file: string, readonly: boolean): Connection {
  const connection = new Database(file, {readonly, fileMustExist: readonly});
  try {
    if (!readonly) {
      // Without a log, which could not be read on a read-only disk. With the power all of it may be lost.
      connection.pragma('journal_mode = DELETE');
      connection.pragma('synchronous = OFF');
      connection.exec(SCHEMA);
    }
    connection.prepare('SELECT count(*) FROM hashes').get();
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

function hashesOf(connection: Connection): FileHashes {
  const read = connection
    .prepare<[string, string], string>('SELECT sha256 FROM hashes WHERE file = ? AND stamp = ?')
    .pluck();
  const write = connection.readonly
    ? null
    : connection.prepare<[string, string, string]>(
        'INSERT OR REPLACE INTO hashes (file, stamp, sha256) VALUES (?, ?, ?)',
      );
  return {
    get({file, stamp}) {
      try {
        return read.get(file, stamp) ?? null;
      } catch {
        return null;
      }
    },
    set({file, stamp}, sha256) {
      try {
        write?.run(file, stamp, sha256);
      } catch {
        // As said above.
      }
    },
    close: () => void connection.close(),
  };
}
