/**
 * Tells of a training that would take hours, as soon as its first steps show it: whoever waits for a result may rather
 * have a smaller one.
 */
import type {Emit, StageName} from '../events.js';
import {duration} from '../words.js';

/** So many steps tell how long one takes; the first holds what is done once. */
const STEPS_MEASURED = 2;
const LONG_SECONDS = 3600;

/**
 * An `emit` that warns once where what is left would take more than an hour, with `advice` behind it. `clock` tells
 * seconds.
 */
export function tellingOfHours(
  emit: Emit,
  {
    stage,
    advice,
    clock = () => performance.now() / 1000,
  }: {readonly stage: StageName; readonly advice: string; readonly clock?: () => number},
): Emit {
  let first: {readonly step: number; readonly at: number} | null = null;
  let isTold = false;
  return event => {
    emit(event);
    if (event.type !== 'step' || isTold) return;
    first ??= {step: event.step, at: clock()};
    const measured = event.step - first.step;
    if (measured < STEPS_MEASURED) return;
    const left = ((clock() - first.at) / measured) * (event.totalSteps - event.step);
    if (left < LONG_SECONDS) return;
    isTold = true;
    emit({type: 'warning', stage, message: `about ${duration(left)} are left of this training alone. ${advice}`});
  };
}
