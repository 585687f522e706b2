/** The lock that lets one orchestration at a time write a run; the kernel frees it however the holder ends. */
import {mkdirSync} from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import {environmentError} from '../errors.js';

export interface Lock {
  release(): void;
}

/** Takes the lock, or returns null where another process holds it. */
export function takeLock(file: string): Lock | null {
  let connection;
  try {
    mkdirSync(path.dirname(file), {recursive: true});
    connection = new Database(file, {timeout: 0});
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
  const lock = takeLock(file);
  lock?.release();
  return lock === null;
}
