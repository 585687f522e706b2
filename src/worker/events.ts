/** The worker's voice: events as lines of JSON on file descriptor 3. */
import {createWriteStream} from 'node:fs';
import {toWire, type ChildEvent} from '../children/protocol.js';
import {eachPart, type ScoringParts} from '../events.js';

const EVENTS_FD = 3;

/**
 * Sends an event. The promise ends once it has left the process, so a task that awaits it never runs ahead of its
 * reader.
 */
export type Emit = (event: ChildEvent) => Promise<void>;

/** Opens file descriptor 3 for events. `onLost` is called when nobody reads them any more. */
export function openEvents(onLost: () => void): Emit {
  const stream = createWriteStream('', {fd: EVENTS_FD, autoClose: false});
  stream.on('error', onLost);
  return event =>
    new Promise((resolve, reject) => stream.write(`${toWire(event)}\n`, error => (error ? reject(error) : resolve())));
}

const REPORT_EVERY_SECONDS = 1;

/**
 * Counts images and sends `progress` at most once a second, with the rate since the last report, and how busy the parts
 * of the work were.
 */
export function trackProgress(
  emit: Emit,
  total: number | null,
  secondsBusy?: () => ScoringParts,
): (images: number) => Promise<void> {
  let done = 0;
  let reported = {done, at: performance.now(), busy: secondsBusy?.()};
  return async images => {
    done += images;
    const now = performance.now();
    const seconds = (now - reported.at) / 1000;
    if (seconds < REPORT_EVERY_SECONDS) return;
    const before = reported;
    reported = {done, at: now, busy: secondsBusy?.()};
    const [spent, earlier] = [reported.busy, before.busy];
    // What was begun earlier counts when it ends, hence the limit.
    const busy = spent && earlier && {busy: eachPart(part => Math.min(1, (spent[part] - earlier[part]) / seconds))};
    await emit({type: 'progress', done, total, imagesPerSecond: (done - before.done) / seconds, ...busy});
  };
}
