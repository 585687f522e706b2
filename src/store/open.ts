/** Opens the state database of a run, brings its schema up to date, and hands out its tables. */
import {mkdirSync, readdirSync, readFileSync, existsSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import Database from 'better-sqlite3';
import {environmentError} from '../errors.js';
import {eventTable} from './events.js';
import {imageTables} from './images.js';
import {quarantineTable} from './quarantine.js';
import {rankingTables} from './rankings.js';
import {runTable} from './run.js';
import {shardTable} from './shards.js';
import {stageTables} from './stages.js';

export type Connection = Database.Database;

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
    atomically<Result>(work: () => Result): Result {
      return connection.transaction(work).immediate();
    },
    close() {
      connection.close();
    },
  };
}

function migrate(connection: Connection, file: string): void {
  const names = migrations();
  const version = Number(connection.pragma('user_version', {simple: true}));
  if (version > names.length) {
    throw environmentError(
      `${file} was made by a newer pupil (database version ${version}; this pupil knows up to ${names.length}). Update pupil; nothing was changed.`,
    );
  }
  for (let next = version; next < names.length; next++) {
    const sql = readFileSync(path.join(migrationsFolder, names[next]!), 'utf8');
    connection
      .transaction(() => {
        connection.exec(sql);
        connection.pragma(`user_version = ${next + 1}`);
      })
      .immediate();
  }
}

function open(file: string, readonly: boolean): Store {
  let connection: Connection | undefined;
  try {
    connection = new Database(file, {readonly, fileMustExist: readonly, timeout: 10_000});
    if (!readonly) connection.pragma('journal_mode = WAL');
    // A WAL database reopens with synchronous=NORMAL, under which the last commits may be lost with the power.
    connection.pragma('synchronous = FULL');
    connection.pragma('foreign_keys = ON');
    if (readonly) {
      const version = Number(connection.pragma('user_version', {simple: true}));
      if (version !== migrations().length) {
        throw environmentError(`${file} has database version ${version}; this pupil reads version ${migrations().length}. Run pupil orchestrate once, or update pupil.`);
      }
    } else migrate(connection, file);
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
