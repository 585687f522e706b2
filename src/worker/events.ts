/** The worker's voice: events as lines of JSON on file descriptor 3. */
import {createWriteStream} from 'node:fs';
import {toWire, type ChildEvent, type PartSeconds} from '../children/protocol.js';

const EVENTS_FD = 3;

/** Sends an event. The promise ends once it has left the process, so a task that awaits it never runs ahead of its reader. */
export type Emit = (event: ChildEvent) => Promise<void>;

/** Opens file descriptor 3 for events. `onLost` is called when nobody reads them any more. */
export function openEvents(onLost: () => void): Emit {
  const stream = createWriteStream('', {fd: EVENTS_FD, autoClose: false});
  stream.on('error', onLost);
  return event => new Promise((resolve, reject) => stream.write(`${toWire(event)}\n`, error => (error ? reject(error) : resolve())));
}

const REPORT_EVERY_SECONDS = 1;

/** Counts images and sends `progress` at most once a second, with the rate since the last report, and how busy the parts of the work were. */
export function trackProgress(emit: Emit, total: number | null, secondsBusy?: () => PartSeconds): (images: number) => Promise<void> {
  let done = 0;
  let reported = {done, at: performance.now(), busy: secondsBusy?.()};
  return async images => {
    done += images;
    const now = performance.now();
    const seconds = (now - reported.at) / 1000;
    if (seconds < REPORT_EVERY_SECONDS) return;
    const before = reported;
    reported = {done, at: now, busy: secondsBusy?.()};
    const busy = reported.busy && before.busy && {busy: shares(reported.busy, before.busy, seconds)};
    await emit({type: 'progress', done, total, imagesPerSecond: (done - before.done) / seconds, ...busy});
  };
}

/** Shares of the time in which each part was at work. What was begun earlier is counted when it ends, hence the limit. */
function shares(now: PartSeconds, before: PartSeconds, seconds: number): PartSeconds {
  const share = (part: keyof PartSeconds) => Math.min(1, (now[part] - before[part]) / seconds);
  return {reading: share('reading'), decoding: share('decoding'), inferring: share('inferring'), writing: share('writing')};
}
