/** Who works on a run that is held. It loads little, so that a second orchestration is told at once. */
import {UserError} from '../errors.js';
import type {RunPaths} from '../home.js';
import {isLocked} from '../store/lock.js';
import {openStoreToRead} from '../store/open.js';

/** Throws (exit 75) where another process works on the run right now. */
export function refuseHeld(paths: RunPaths): void {
  if (isLocked(paths.lock)) throw heldError(paths);
}

export function heldError({run, database}: RunPaths): UserError {
  let who = 'another process';
  try {
    const store = openStoreToRead(database);
    const holder = store?.run.holder();
    if (holder) who = `process ${holder.pid} on ${holder.host}, since ${holder.since}`;
    store?.close();
  } catch (error) {
    // Whatever is wrong with its database, its holder will be told.
    if (!(error instanceof UserError)) throw error;
  }
  return new UserError(
    'BUSY_RUN',
    `Run ${run} is being worked on by ${who}. Wait for it, or use another name (--run NAME).`,
  );
}
