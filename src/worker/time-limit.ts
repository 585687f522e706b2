/**
 * A time limit for work that cannot be stopped, such as a decoder in a thread of its own: whoever waits for it goes on
 * without.
 */

export const tooLate = Symbol('too late');

const TICK_MS = 250;

export interface TimeLimit {
  /** What the work comes to, or `tooLate` once it has had its time; it then goes on with nobody waiting. */
  within: <T>(work: Promise<T>) => Promise<T | typeof tooLate>;
  close: () => void;
}

/**
 * Counts turns of the event loop instead of reading a clock: time in which the process was stopped or its main thread
 * busy does not count, and work that was done meanwhile is not called late. The caller closes it.
 */
export function timeLimit(seconds: number): TimeLimit {
  const waiting = new Set<{ticksLeft: number; giveUp: () => void}>();
  const clock = setInterval(() => {
    for (const one of waiting) if (--one.ticksLeft < 0) one.giveUp();
  }, TICK_MS);
  return {
    close: () => clearInterval(clock),
    within: work =>
      new Promise((resolve, reject) => {
        const one = {ticksLeft: Math.ceil((seconds * 1000) / TICK_MS), giveUp: () => resolve(tooLate)};
        waiting.add(one);
        void work.then(resolve, reject).finally(() => waiting.delete(one));
      }),
  };
}
