/**
 * `pupil setup`: makes the Python side and installs what comes as machine code, where any pupil of this version finds
 * it.
 */
import {setUp, SetupError} from '../../scripts/setup/set-up.mjs';
import type {Stop} from '../children/child.js';
import {throwIfStopped, UserError} from '../errors.js';

export async function setup(stop: Stop): Promise<void> {
  try {
    const ranAny = await setUp({stream: process.stderr, signal: stop.requested});
    if (!ranAny) process.stderr.write('Everything is set up.\n');
  } catch (error) {
    throwIfStopped(stop.requested);
    if (error instanceof SetupError) throw new UserError('SETUP_FAILED', error.message, {cause: error});
    throw error;
  }
}
