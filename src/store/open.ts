/** Opens the state database of a run, brings its schema up to date, and hands out its tables. */
import {mkdirSync, readdirSync, readFileSync, existsSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import Database from 'better-sqlite3';
import {environmentError} from '../errors.js';
import {atomically} from './atomically.js';
import type {Connection} from './connection.js';
import {eventTable} from './events.js';
import {imageTables} from './images.js';
import {quarantineTable} from './quarantine.js';
import {rankingTables} from './rankings.js';
import {runTable} from './run.js';
import {shardTable} from './shards.js';
import {stageTables} from './stages.js';

const migrationsFolder = fileURLToPath(new URL('../../db/migrations/', import.meta.url));
const migrations = (): string[] =>
  readdirSync(migrationsFolder)
    .filter(name => /^\d{4}_.*\.sql$/.test(name))
    .sort();

/** All tables of a run. Close it where it was opened. */
export type Store = ReturnType<typeof tables>;

function tables(connection: Connection) {
  return {
    run: runTable(connection),
    images: imageTables(connection),
    quarantine: quarantineTable(connection),
    shards: shardTable(connection),
    rankings: rankingTables(connection),
    stages: stageTables(connection),
    events: eventTable(connection),
    /** Everything inside happens or nothing does. `work` must not await. */
    atomically: <Result>(work: () => Result): Result => atomically(connection, work),
    /** Writes all of it, as it is now, into a new database file. */
    async backup(file: string): Promise<void> {
      await connection.backup(file);
    },
    close() {
      connection.close();
    },
  };
}

const versionOf = (connection: Connection): number => Number(connection.pragma('user_version', {simple: true}));

/** Refuses a database that this pupil cannot read (or, for writing, not bring up to date) before anything of it is touched. */
function checkVersion(connection: Connection, file: string, readonly: boolean): void {
  const version = versionOf(connection);
  const known = migrations().length;
  if (version > known) {
    throw environmentError(`${file} was made by a newer pupil (database version ${version}; this pupil knows up to ${known}). Update pupil; nothing was changed.`);
  }
  if (readonly && version < known) throw environmentError(`${file} has database version ${version}; this pupil reads version ${known}. Run pupil orchestrate once to bring it up to date.`);
}

function migrate(connection: Connection): void {
  const names = migrations();
  for (let next = versionOf(connection); next < names.length; next++) {
    const sql = readFileSync(path.join(migrationsFolder, names[next]!), 'utf8');
    atomically(connection, () => {
      connection.exec(sql);
      connection.pragma(`user_version = ${next + 1}`);
    });
  }
}

function open(file: string, readonly: boolean): Store {
  let connection: Connection | undefined;
  try {
    connection = new Database(file, {readonly, fileMustExist: readonly, timeout: 10_000});
    checkVersion(connection, file, readonly);
    if (!readonly) connection.pragma('journal_mode = WAL');
    // A WAL database reopens with synchronous=NORMAL, under which the last commits may be lost with the power.
    connection.pragma('synchronous = FULL');
    connection.pragma('foreign_keys = ON');
    if (!readonly) migrate(connection);
    return tables(connection);
  } catch (error) {
    connection?.close();
    if (error instanceof Database.SqliteError && /^SQLITE_(NOTADB|CORRUPT)/.test(error.code)) {
      throw environmentError(`${file} is damaged and was left as it is (${error.message}). Restore it from a copy, or move it away to start the run anew.`, {cause: error});
    }
    if (error instanceof Database.SqliteError && /^SQLITE_(READONLY|CANTOPEN|IOERR|FULL)/.test(error.code)) {
      throw environmentError(`Cannot write ${file} (${error.message}). Check that its folder exists, is writable and has space left.`, {cause: error});
    }
    throw error;
  }
}

/** Opens a run's database for writing, creating it where there is none. */
export function openStore(file: string): Store {
  mkdirSync(path.dirname(file), {recursive: true});
  return open(file, false);
}

/** Opens an existing database for reading only; null where there is none. */
export const openStoreToRead = (file: string): Store | null => (existsSync(file) ? open(file, true) : null);
