/** Removes from a home what it keeps and no run needs. */
import {databaseFolder, runPaths} from '../home.js';
import {freedBytes} from '../files/freed-bytes.js';
import {throwIfStopped} from '../errors.js';
import {discardResult} from '../pipeline/results.js';
import {runsOf} from '../queries/open-run.js';
import {openFileHashes} from '../store/file-hashes.js';
import {takeLock, type Lock} from '../store/lock.js';
import {heldError} from './held-run.js';
import {openNeeds} from './needed-results.js';

export interface Garbage {
  readonly stage: string;
  /** That made it, and when; null where that was cut short, or cannot be read. */
  readonly run: string | null;
  readonly finishedAt: string | null;
  /** That it alone takes. */
  readonly bytes: number;
}

/**
 * Returns what is not needed, and the bytes that all of it takes: files of several results take theirs once. Removes it
 * unless it is only looked at. Throws (exit 75) where a run is being worked on, which may be about to need it.
 */
export async function collectGarbage(
  home: string,
  {dryRun, signal}: {readonly dryRun: boolean; readonly signal: AbortSignal},
): Promise<{readonly garbage: readonly Garbage[]; readonly bytes: number}> {
  const locks: Lock[] = [];
  const hashes = openFileHashes(databaseFolder(home), {readonly: dryRun});
  try {
    for (const run of runsOf(home)) {
      const paths = runPaths(home, run);
      const lock = takeLock(paths.lock);
      if (lock === null) throw heldError(paths);
      locks.push(lock);
    }
    const unneeded = (await openNeeds(home))();
    const bytes = await freedBytes(unneeded.map(({folder}) => folder));
    const garbage: Garbage[] = [];
    for (const {stage, folder, result} of unneeded) {
      throwIfStopped(signal);
      garbage.push({
        stage,
        run: result?.run ?? null,
        finishedAt: result?.finishedAt ?? null,
        bytes: await freedBytes([folder]),
      });
      if (!dryRun) await discardResult({folder}, {hashes});
    }
    return {garbage, bytes};
  } finally {
    for (const lock of locks) lock.release();
    hashes.close();
  }
}
