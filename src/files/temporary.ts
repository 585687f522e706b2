/** Folders for what is gone when a command ends, where nothing of a run lies. */
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {UserError} from '../errors.js';

const made = new Set<string>();

/** For a process that ends in the middle, as when nobody reads on. */
function removeAll(): void {
  for (const folder of made) rmSync(folder, {recursive: true, force: true});
}

/**
 * Makes one; whoever asked for it removes it. Throws (exit 4) where the system's folder for such things is not there,
 * or takes none.
 */
export function temporaryFolder(purpose: string): string {
  try {
    const folder = mkdtempSync(path.join(tmpdir(), `pupil-${purpose}-`));
    if (made.size === 0) process.once('exit', removeAll);
    made.add(folder);
    return folder;
  } catch (cause) {
    throw new UserError(
      'NO_ACCESS',
      `No temporary folder can be made in ${tmpdir()} (${cause instanceof Error ? cause.message : String(cause)}). Make that folder, or name another in TMPDIR.`,
      {cause},
    );
  }
}
