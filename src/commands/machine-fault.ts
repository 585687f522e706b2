/** Tells faults of the machine (a full or read-only disk, a damaged database) from bugs, where Node or SQLite give no more than a code. */
import {statfsSync} from 'node:fs';
import {environmentError} from '../errors.js';
import {bytes} from '../words.js';

const FULL = /^(ENOSPC|EDQUOT|SQLITE_FULL)/;
const UNWRITABLE = /^(EROFS|EACCES|EPERM|SQLITE_READONLY|SQLITE_CANTOPEN|SQLITE_IOERR)/;
const DAMAGED = /^SQLITE_(CORRUPT|NOTADB)/;

function freeBytes(folder: string): number {
  const {bavail, bsize} = statfsSync(folder);
  return bavail * bsize;
}

/** The error as something that the user can mend (exit 4), or as it is. `at` tells what was being written, where that is known. */
export function explainFault(error: unknown, at?: {readonly home: string; readonly database: string}): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  const code = String(error.code);
  const place = 'path' in error ? String(error.path) : at?.home;
  if (FULL.test(code)) {
    const where = place === undefined ? '' : `: ${place}${at === undefined ? '' : ` (${bytes(freeBytes(at.home))} free)`}`;
    return environmentError(`The disk is full${where}. Free some space and run the same command again; it goes on from here.`, {cause: error});
  }
  if (UNWRITABLE.test(code)) return environmentError(`Cannot read or write ${place ?? "the run's files"} (${error.message}). Check its permissions and its disk.`, {cause: error});
  if (DAMAGED.test(code)) {
    return environmentError(`${at?.database ?? "The run's database"} is damaged and was left as it is (${error.message}). Restore it from a copy, or move it away to start the run anew.`, {cause: error});
  }
  return error;
}
