/** The last line for a script whose command failed: its exit code, its code, and the sentence that people read. */
import {errorCodeOf, exitCodeFor} from '../errors.js';
import type {Event} from '../events.js';

export const failedEvent = (error: unknown): Event => ({
  type: 'failed',
  exitCode: exitCodeFor(error),
  code: errorCodeOf(error),
  message: error instanceof Error ? error.message : String(error),
});
