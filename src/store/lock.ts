/** The lock that lets one orchestration at a time write a run; the kernel frees it however the holder ends. */
import {mkdirSync} from 'node:fs';
import path from 'node:path';
import {loadSqlite} from '../compiled-packages.js';
import {environmentError} from '../errors.js';

const Database = loadSqlite();

export interface Lock {
  release(): void;
}

/** Whoever only looks whether the lock is held holds it for a moment; an orchestration must not take that for another one. */
const PATIENCE_MS = 300;

/** Takes the lock, or returns null where another process holds it. */
export const takeLock = (file: string): Lock | null => lockWithin(file, PATIENCE_MS);

function lockWithin(file: string, timeoutMs: number): Lock | null {
  let connection;
  try {
    mkdirSync(path.dirname(file), {recursive: true});
    connection = new Database(file, {timeout: timeoutMs});
    connection.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    connection?.close();
    if (error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY')) return null;
    throw environmentError(`Cannot write in ${path.dirname(file)} (${error instanceof Error ? error.message : String(error)}). Check the folder's permissions and the free space.`, {
      cause: error,
    });
  }
  const held = connection;
  return {release: () => held.close()};
}

/** Whether some process holds the lock right now. */
export function isLocked(file: string): boolean {
  const lock = lockWithin(file, 0);
  lock?.release();
  return lock === null;
}
