/**
 * Words for what a machine refuses (a full or read-only disk, too many open files, no memory, a damaged database), of
 * which Node and SQLite give no more than a code.
 */
import {readFileSync, statfsSync} from 'node:fs';
import path from 'node:path';
import {UserError, type ErrorCode} from './errors.js';
import {bytes} from './words.js';

/** What was being read or written. */
export interface At {
  /** Wins over what the error names, which may be a temporary that no user knows. */
  readonly path?: string;
  /** Where the error names nothing. */
  readonly home?: string;
  readonly database?: string;
}

const GO_ON = 'Run the same command again; it goes on from here.';

/** ` (1.2 GB free)`, asked of the nearest folder that is there; empty where none tells. */
function freeSpace(place: string): string {
  for (let folder = path.resolve(place); ; folder = path.dirname(folder)) {
    try {
      const {bavail, bsize} = statfsSync(folder);
      return ` (${bytes(bavail * bsize)} free)`;
    } catch {
      if (folder === path.dirname(folder)) return '';
    }
  }
}

/** The first of these whose pattern fits a code words it; `place` is what was read or written. */
const faults: readonly [RegExp, ErrorCode, (place: string | undefined, message: string) => string][] = [
  [
    /^(ENOSPC|SQLITE_FULL)/,
    'DISK_FULL',
    place => `The disk is full${place === undefined ? '' : `: ${place}${freeSpace(place)}`}. Free some space. ${GO_ON}`,
  ],
  [
    /^EFBIG/,
    'MACHINE_FAULT',
    place =>
      `A file may not grow as large as it must${place === undefined ? '' : `: ${place}`}. Raise the limit (ulimit -f), or choose another disk. ${GO_ON}`,
  ],
  [
    /^EDQUOT/,
    'DISK_FULL',
    place => `Your quota of the disk is used up${place === undefined ? '' : `: ${place}`}. Free some space. ${GO_ON}`,
  ],
  [
    /^(EROFS|SQLITE_READONLY)/,
    'NO_ACCESS',
    place =>
      `${place ?? "The run's folder"} cannot be written: the disk is read-only, or the file is. Choose another --home, or make it writable.`,
  ],
  [
    /^(EMFILE|ENFILE)/,
    'MACHINE_FAULT',
    () => 'Too many files are open at once. Raise the limit, as with ulimit -n 4096, and run the same command again.',
  ],
  [
    /^(ENOMEM|SQLITE_NOMEM|ERR_WORKER_OUT_OF_MEMORY|ERR_MEMORY_ALLOCATION_FAILED)/,
    'OUT_OF_MEMORY',
    () => `There is not enough memory, or a limit is set on it (ulimit -v). Free some, or raise the limit. ${GO_ON}`,
  ],
  [
    /^EAGAIN/,
    'MACHINE_FAULT',
    (_, message) =>
      `No more processes or threads can be started (${message}). End some, or raise the limit (ulimit -u). ${GO_ON}`,
  ],
  [
    /^ERR_DLOPEN_FAILED/,
    'MACHINE_FAULT',
    (_, message) =>
      `A library that pupil needs cannot be loaded (${message}). See that there is memory (ulimit -v), and install pupil anew for this Node.`,
  ],
  [
    /^ENAMETOOLONG/,
    'MACHINE_FAULT',
    place => `The name ${place ?? ''} is longer than the file system allows. Choose a shorter --run or --home.`,
  ],
  [
    /^(EIO|ESTALE|ENXIO|ENODEV|SQLITE_IOERR)/,
    'MACHINE_FAULT',
    (place, message) =>
      `The disk does not answer as it should${place === undefined ? '' : ` for ${place}`} (${message}). Check the disk and its connection. ${GO_ON}`,
  ],
  [
    /^(EACCES|EPERM|ELOOP|ENOTDIR|EISDIR|SQLITE_CANTOPEN|SQLITE_PERM|SQLITE_AUTH)/,
    'NO_ACCESS',
    (place, message) =>
      `Cannot read or write ${place ?? "the run's files"} (${message}). Check its permissions and its disk.`,
  ],
  [/^SQLITE_(CORRUPT|NOTADB)/, 'DAMAGED_DATABASE', (place, message) => damaged(place ?? "The run's database", message)],
];

/** What is said of a database that must not be touched. */
export const damaged = (database: string, what: string): string =>
  `${database} is damaged and was left as it is (${what}). Restore it from a copy, or move it away to start the run anew.`;

/** The error as something that the user can mend (exit 4; 75 where another program holds the database), or as it is. */
export function explainFault(error: unknown, at: At = {}): unknown {
  if (!(error instanceof Error)) return error;
  if (error instanceof RangeError && /^(Array buffer allocation failed|WebAssembly.*Out of memory)/.test(error.message))
    return explain('ENOMEM', error, at) ?? error;
  return 'code' in error && typeof error.code === 'string' ? (explain(error.code, error, at) ?? error) : error;
}

function explain(code: string, error: Error, {path: known, home, database}: At): UserError | null {
  const named = 'path' in error && typeof error.path === 'string' ? error.path : undefined;
  const place = known ?? named ?? (code.startsWith('SQLITE') ? (database ?? home) : home);
  if (/^SQLITE_(BUSY|LOCKED)/.test(code))
    return new UserError(
      'BUSY_DATABASE',
      `Another program holds ${place ?? "the run's database"} (${error.message}). Close it, and run the same command again.`,
      {cause: error},
    );
  const [, name, word] = faults.find(([codes]) => codes.test(code)) ?? [];
  return name === undefined || word === undefined
    ? null
    : new UserError(name, word(place, error.message), {cause: error});
}

/**
 * Less, and Node or a library ends the process wherever it next asks for memory, with a dump of its own. It is address
 * space, of which a fraction is used.
 */
const LEAST_ADDRESS_SPACE = 2e9;

/**
 * Throws (exit 4) where `ulimit -v`, or a batch system by it, leaves too little to run in. Linux tells; elsewhere the
 * limit is not enforced, or not to be had.
 */
export function requireAddressSpace(): void {
  let limits;
  try {
    limits = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return;
  }
  const limit = Number(/^Max address space +(\d+)/m.exec(limits)?.[1] ?? Infinity);
  if (limit < LEAST_ADDRESS_SPACE) {
    throw new UserError(
      'OUT_OF_MEMORY',
      `The address space is limited to ${bytes(limit)} (ulimit -v), of which Node and its threads reserve most before they do anything. Raise it to 4 GB or more, and limit memory by a cgroup where it must be limited.`,
    );
  }
}
