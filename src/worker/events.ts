/** The worker's voice: events as lines of JSON on file descriptor 3. */
import {createWriteStream} from 'node:fs';
import {toWire, type ChildEvent} from '../children/protocol.js';

const EVENTS_FD = 3;

/** Sends an event. The promise ends once it has left the process, so a task that awaits it never runs ahead of its reader. */
export type Emit = (event: ChildEvent) => Promise<void>;

/** Opens file descriptor 3 for events. `onLost` is called when nobody reads them any more. */
export function openEvents(onLost: () => void): Emit {
  const stream = createWriteStream('', {fd: EVENTS_FD, autoClose: false});
  stream.on('error', onLost);
  return event => new Promise((resolve, reject) => stream.write(`${toWire(event)}\n`, error => (error ? reject(error) : resolve())));
}

const REPORT_EVERY_MS = 1000;

/** Counts images and sends `progress` at most once a second, with the rate since the last report. */
export function trackProgress(emit: Emit, total: number | null): (images: number) => Promise<void> {
  let done = 0;
  let reportedDone = 0;
  let reportedAt = performance.now();
  return async images => {
    done += images;
    const now = performance.now();
    if (now - reportedAt < REPORT_EVERY_MS) return;
    const imagesPerSecond = ((done - reportedDone) * 1000) / (now - reportedAt);
    reportedAt = now;
    reportedDone = done;
    await emit({type: 'progress', done, total, imagesPerSecond});
  };
}
