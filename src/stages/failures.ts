/** The limit on images that may be set aside before a run stops. */
import {gateError} from '../errors.js';
import {count} from '../words.js';
import type {RunContext} from './context.js';

/** Stops the run once more images of `of` were set aside than `limits.max_failures` allows. */
export function gateFailures({store, config}: RunContext, {stage, part, of}: {stage: string; part: string; of: number}): void {
  const failures = store.quarantine.failures(stage, part);
  if (failures === 0 || failures <= config.limits.max_failures * of) return;
  const {place, detail} = store.quarantine.lastFailure(stage, part)!;
  throw gateError(
    `${count(failures)} of ${count(of)} images could not be used (${((100 * failures) / of).toFixed(1)} %), more than --max-failures ${config.limits.max_failures} allows.\n` +
      `The last one: ${place}: ${detail}\nSee them all with pupil status. Raise --max-failures to go on from here without them; or mend or remove them, and run the same command, with --accept-change once pupil asks for it.`,
  );
}
