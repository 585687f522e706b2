/** Opens the state database of a run, brings its schema up to date, and hands out its tables. */
import {createHash} from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {loadSqlite} from '../compiled-packages.js';
import {UserError} from '../errors.js';
import {damaged, explainFault} from '../machine-fault.js';
import {temporaryFolder} from '../files/temporary.js';
import {atomically} from './atomically.js';
import type {Connection} from './connection.js';
import {chosenTable} from './chosen.js';
import {eventTable} from './events.js';
import {noHashes, openFileHashes, type FileHashes} from './file-hashes.js';
import {imageTables} from './images.js';
import {packTable} from './packs.js';
import {poolTable} from './pool.js';
import {quarantineTable} from './quarantine.js';
import {rankingTables} from './rankings.js';
import {runTable, tellBelonging} from './run.js';
import {shardTable} from './shards.js';
import {stageRows} from './stage-rows.js';
import {addLengths, sealFinished, stageTables} from './stages.js';

const Database = loadSqlite();

const migrationsFolder = fileURLToPath(new URL('../../db/migrations/', import.meta.url));
const migrations = (): string[] =>
  readdirSync(migrationsFolder)
    .filter(name => /^\d{4}_.*\.sql$/.test(name))
    .sort();

/** All tables of a run. Close it where it was opened. */
export type Store = ReturnType<typeof tables>;

function tables(connection: Connection, hashes: FileHashes, onClose: () => void = () => {}) {
  return {
    run: runTable(connection),
    images: imageTables(connection),
    pool: poolTable(connection),
    chosen: chosenTable(connection),
    quarantine: quarantineTable(connection),
    packs: packTable(connection),
    shards: shardTable(connection),
    rankings: rankingTables(connection),
    stages: stageTables(connection),
    events: eventTable(connection),
    rows: stageRows(connection),
    /** Of the home's files; those of other runs among them. */
    hashes,
    /** What it looks like: results of another version hold other rows. */
    version: versionOf(connection),
    /** Everything inside happens or nothing does. `work` must not await. */
    atomically: <Result>(work: () => Result): Result => atomically(connection, work),
    close() {
      hashes.close();
      connection.close();
      onClose();
    },
  };
}

const versionOf = (connection: Connection): number => Number(connection.pragma('user_version', {simple: true}));

/** How long a statement waits for another process that is writing. */
const PATIENCE_MS = 10_000;

/** The version from which on finished stages are sealed. */
const SEALED = 3;
/** The version from which on trainings tell how long they were, and runs what they are a part of. */
const TOLD = 7;

/**
 * Refuses what is no database of a run, or one that this pupil cannot read (or, for writing, not bring up to date),
 * before anything of it is touched.
 */
function checkVersion(connection: Connection, file: string, readonly: boolean): void {
  const ours = connection
    .prepare<[], {tables: number}>(
      "SELECT count(*) AS tables FROM sqlite_schema WHERE type = 'table' AND name IN ('run', 'stages', 'outputs')",
    )
    .get();
  if (ours?.tables !== 3)
    throw new UserError(
      'DAMAGED_DATABASE',
      `${file} is not the database of a run: it was emptied, or another program made it. It was left as it is. Restore it from a copy, or move it away to start the run anew.`,
    );
  const version = versionOf(connection);
  const known = migrations().length;
  if (version > known) {
    throw new UserError(
      'OTHER_VERSION',
      `${file} was made by a newer pupil (database version ${version}; this pupil knows up to ${known}). Update pupil; nothing was changed.`,
    );
  }
  if (readonly && version < known)
    throw new UserError(
      'OTHER_VERSION',
      `${file} has database version ${version}; this pupil reads version ${known}. Run pupil orchestrate once to bring it up to date.`,
    );
}

const schemaOf = (connection: Connection): {object: string; sql: string}[] =>
  connection
    .prepare<[], {object: string; sql: string}>(
      "SELECT type || ' ' || name AS object, sql FROM sqlite_schema WHERE sql IS NOT NULL",
    )
    .all();

/**
 * Refuses a database of which a table, index or view is gone or not as the migrations made it. What somebody added is
 * theirs.
 */
function checkSchema(connection: Connection, file: string): void {
  const found = new Map(schemaOf(connection).map(({object, sql}) => [object, sql]));
  const blank = new Database(':memory:');
  try {
    prepare(blank);
    migrate(blank);
    const altered = schemaOf(blank).find(({object, sql}) => found.get(object) !== sql);
    if (altered) throw new UserError('DAMAGED_DATABASE', damaged(file, `its ${altered.object} is not as it was made`));
  } finally {
    blank.close();
  }
}

/** Finds damage of the file's structure before more is written into it. */
function checkPages(connection: Connection, file: string): void {
  const found = String(connection.pragma('quick_check(1)', {simple: true}));
  if (found !== 'ok') throw new UserError('DAMAGED_DATABASE', damaged(file, found.split('\n').slice(0, 2).join(' ')));
}

function migrate(connection: Connection): void {
  const names = migrations();
  const found = versionOf(connection);
  for (let next = found; next < names.length; next++) {
    const sql = readFileSync(path.join(migrationsFolder, names[next]!), 'utf8');
    atomically(connection, () => {
      connection.exec(sql);
      if (next + 1 === SEALED) sealFinished(connection);
      if (next + 1 === TOLD) {
        addLengths(connection);
        tellBelonging(connection);
      }
      connection.pragma(`user_version = ${next + 1}`);
    });
  }
}

/** Settings that hold for a connection, and what the tables' statements call. */
function prepare(connection: Connection): void {
  // A WAL database reopens with synchronous=NORMAL, under which the last commits may be lost with the power.
  connection.pragma('synchronous = FULL');
  connection.pragma('foreign_keys = ON');
  connection.function('sha256', {deterministic: true}, text => createHash('sha256').update(String(text)).digest('hex'));
}

/** What SQLite keeps beside a database while it is open, and leaves where a process is killed. */
export const besideDatabase = (file: string): string[] => ['-wal', '-shm', '-journal'].map(suffix => file + suffix);

/**
 * Makes a database of the newest version appear whole: so one without tables was never ours, whenever we were killed.
 */
function create(file: string): void {
  const temporary = `${file}.new`;
  mkdirSync(path.dirname(file), {recursive: true});
  // A log that was left behind would be taken for the new one's.
  for (const left of [temporary, ...besideDatabase(temporary), ...besideDatabase(file)]) rmSync(left, {force: true});
  const connection = new Database(temporary);
  try {
    prepare(connection);
    migrate(connection);
    connection.pragma('journal_mode = WAL');
  } finally {
    connection.close();
  }
  renameSync(temporary, file);
  const folder = openSync(path.dirname(file), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Nothing may be asked of an empty database: SQLite would delete the log beside it, which may be all that is left. */
function refuseEmpty(file: string): void {
  const found = statSync(file);
  if (found.isFile() && found.size === 0)
    throw new UserError(
      'DAMAGED_DATABASE',
      `${file} is empty, and was left as it is. Restore it from a copy, or move it away to start the run anew.`,
    );
}

function open(file: string): Store {
  let connection: Connection | undefined;
  try {
    refuseEmpty(file);
    connection = new Database(file, {fileMustExist: true, timeout: PATIENCE_MS});
    prepare(connection);
    checkVersion(connection, file, false);
    checkPages(connection, file);
    connection.pragma('journal_mode = WAL');
    migrate(connection);
    checkSchema(connection, file);
    return tables(connection, openFileHashes(path.dirname(file), {readonly: false}));
  } catch (error) {
    connection?.close();
    throw explainFault(error, {database: file});
  }
}

/** Opens `file`, which holds what `named` does. */
function openToRead(file: string, named: string, onClose?: () => void): Store {
  let connection: Connection | undefined;
  try {
    connection = new Database(file, {readonly: true, fileMustExist: true, timeout: PATIENCE_MS});
    prepare(connection);
    checkVersion(connection, named, true);
    checkSchema(connection, named);
    return tables(connection, openFileHashes(path.dirname(named), {readonly: true}), onClose);
  } catch (error) {
    connection?.close();
    throw error;
  }
}

/**
 * Opens a copy, with the log where there is one. On a read-only disk SQLite cannot make the index of the log that it
 * reads a database by; where a writer has made one, it is read, and nothing is copied.
 */
function openCopyToRead(file: string): Store {
  const folder = temporaryFolder('database');
  const remove = () => rmSync(folder, {recursive: true, force: true});
  try {
    const copy = path.join(folder, path.basename(file));
    const stamp = () =>
      [file, `${file}-wal`]
        .map(name => statSync(name, {bigint: true, throwIfNoEntry: false}))
        .map(found => `${found?.size} ${found?.mtimeNs}`)
        .join();
    for (let before = ''; before !== stamp();) {
      // Until nobody wrote meanwhile, through another mount of the same disk.
      before = stamp();
      for (const suffix of ['', '-wal']) if (existsSync(file + suffix)) copyFileSync(file + suffix, copy + suffix);
    }
    return openToRead(copy, file, remove);
  } catch (error) {
    remove();
    throw error;
  }
}

/** Opens a run's database for writing, creating it where there is none. */
export function openStore(file: string): Store {
  if (existsSync(file)) return open(file);
  try {
    create(file);
  } catch (error) {
    throw explainFault(error, {database: file});
  }
  return open(file);
}

/** A store of a run that is yet to be, in memory. */
export function blankStore(): Store {
  const connection = new Database(':memory:');
  prepare(connection);
  migrate(connection);
  return tables(connection, noHashes());
}

/** Opens an existing database for reading only; null where there is none. */
export function openStoreToRead(file: string): Store | null {
  if (!existsSync(file)) return null;
  try {
    refuseEmpty(file);
    try {
      return openToRead(file, file);
    } catch (error) {
      const isUnindexed =
        error instanceof Database.SqliteError &&
        /^SQLITE_(CANTOPEN|READONLY)/.test(error.code) &&
        statSync(file).isFile();
      if (!isUnindexed) throw error;
      return openCopyToRead(file);
    }
  } catch (error) {
    throw explainFault(error, {database: file});
  }
}
