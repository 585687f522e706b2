/** Folders for what is gone when a command ends, where nothing of a run lies. */
import {mkdtempSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {environmentError} from './errors.js';

/** Makes one; whoever asked for it removes it. Throws (exit 4) where the system's folder for such things is not there, or takes none. */
export function temporaryFolder(purpose: string): string {
  try {
    return mkdtempSync(path.join(tmpdir(), `pupil-${purpose}-`));
  } catch (cause) {
    throw environmentError(`No temporary folder can be made in ${tmpdir()} (${cause instanceof Error ? cause.message : String(cause)}). Make that folder, or name another in TMPDIR.`, {cause});
  }
}
