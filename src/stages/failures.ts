/** The limits on images that may be set aside before a run stops. */
import type {Culprit} from '../children/protocol.js';
import {UserError} from '../errors.js';
import type {StageName} from '../events.js';
import {statusCommand} from '../home.js';
import {count} from '../words.js';
import type {StageContext} from './context.js';

/** Stops the run once more images of `of` were set aside than `limits.max_failures` allows. */
export function gateFailures(
  {store, handling: {maxFailures}, paths}: StageContext,
  {stage, part, of}: {stage: string; part: string; of: number},
): void {
  const failures = store.quarantine.failures(stage, part);
  if (failures === 0 || failures <= maxFailures * of) return;
  const {place, detail} = store.quarantine.lastFailure(stage, part)!;
  throw new UserError(
    'TOO_MANY_FAILURES',
    `${count(failures)} of ${count(of)} images could not be used (${((100 * failures) / of).toFixed(1)} %), more than --max-failures ${maxFailures} allows.\n` +
      `The last one: ${place}: ${detail}\nSee them all with ${statusCommand(paths)}. Raise --max-failures to go on from here without them; or mend or remove them, and run the same command.`,
  );
}

/**
 * Tells of pictures that stop a decoder. Throws (exit 5) once there are so many among `of` that it can hardly be the
 * pictures.
 */
export function gateCulprits(
  {handling: {maxFailures}, emit}: StageContext,
  {stage, of, placeOf}: {stage: StageName; of: number; placeOf: (key: string) => string},
): (culprit: Culprit) => void {
  let culprits = 0;
  return ({key, problem}) => {
    const place = placeOf(key);
    emit({type: 'warning', stage, message: `${place} ${problem.detail}; it is set aside.`});
    if (++culprits === 1 || culprits <= maxFailures * of) return;
    throw new UserError(
      'TOO_MANY_FAILURES',
      `${count(culprits)} of ${count(of)} pictures stopped the image worker, more than --max-failures ${maxFailures} allows; the last one was ${place}: it ${problem.detail}. ` +
        'If they open elsewhere, it is not the pictures: see pupil doctor. Else remove them, or raise --max-failures.',
    );
  };
}
