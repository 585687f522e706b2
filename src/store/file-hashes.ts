/**
 * The hashes of a home's files, by what changes when their bytes do: what was hashed once, for whichever run, is not
 * read again.
 */
import {existsSync, rmSync} from 'node:fs';
import path from 'node:path';
import {loadSqlite} from '../compiled-packages.js';
import type {Connection} from './connection.js';

const Database = loadSqlite();

/** A row a file, by its inode: an earlier state of it tells nothing any more. */
const SCHEMA =
  'CREATE TABLE IF NOT EXISTS hashes (inode INTEGER PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT';

/** A file as the file system tells it: its inode, and its size and times. */
export interface FileStamp {
  readonly inode: bigint;
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
  } catch {
    if (readonly) return noHashes();
  }
  // Garbled: it holds nothing that cannot be found out again.
  for (const left of ['', '-wal', '-shm', '-journal']) rmSync(file + left, {force: true});
  return hashesOf(openAt(file, false));
}

function openAt(file: string, readonly: boolean): Connection {
  const connection = new Database(file, {readonly, fileMustExist: readonly});
  try {
    if (!readonly) {
      connection.pragma('journal_mode = WAL');
      // The last ones may be lost with the power.
      connection.pragma('synchronous = NORMAL');
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
    .prepare<[bigint, string], string>('SELECT sha256 FROM hashes WHERE inode = ? AND stamp = ?')
    .pluck();
  const write = connection.readonly
    ? null
    : connection.prepare<[bigint, string, string]>(
        'INSERT OR REPLACE INTO hashes (inode, stamp, sha256) VALUES (?, ?, ?)',
      );
  return {
    get({inode, stamp}) {
      try {
        return read.get(inode, stamp) ?? null;
      } catch {
        return null;
      }
    },
    set({inode, stamp}, sha256) {
      try {
        write?.run(inode, stamp, sha256);
      } catch {
        // As said above.
      }
    },
    close: () => void connection.close(),
  };
}
