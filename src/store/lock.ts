/** The lock that lets one orchestration at a time write a run; the kernel frees it however the holder ends. */
import {existsSync, mkdirSync} from 'node:fs';
import path from 'node:path';
import {loadSqlite} from '../compiled-packages.js';
import {UserError} from '../errors.js';
import {explainFault} from '../machine-fault.js';

const Database = loadSqlite();

export interface Lock {
  release(): void;
}

/**
 * Whoever only looks whether the lock is held holds it for a moment; an orchestration must not take that for another
 * one.
 */
const PATIENCE_MS = 300;

/** Takes the lock, or returns null where another process holds it. */
export function takeLock(file: string): Lock | null {
  let connection;
  try {
    mkdirSync(path.dirname(file), {recursive: true});
    connection = new Database(file, {timeout: PATIENCE_MS});
    connection.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    connection?.close();
    if (isBusy(error)) return null;
    throw new UserError(
      'NO_ACCESS',
      `Cannot write in ${path.dirname(file)} (${error instanceof Error ? error.message : String(error)}). Check the folder's permissions and the free space.`,
      {cause: error},
    );
  }
  const held = connection;
  return {release: () => held.close()};
}

/** Whether some process holds the lock right now. Nothing is written, so that it can be asked on a read-only disk. */
export function isLocked(file: string): boolean {
  if (!existsSync(file)) return false;
  let connection;
  try {
    connection = new Database(file, {readonly: true, fileMustExist: true, timeout: 0});
    connection.prepare('SELECT count(*) FROM sqlite_schema').get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw explainFault(error, {database: file});
  } finally {
    connection?.close();
  }
}

const isBusy = (error: unknown): boolean =>
  error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
