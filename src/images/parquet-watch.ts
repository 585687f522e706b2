/**
 * Kills the process that takes a Parquet file apart, from a thread of its own, once that has taken more of the
 * processor's time than it may.
 */
import {parentPort} from 'node:worker_threads';

/** What the work that begins now may take; null where it ended. */
export interface ParquetWatchMessage {
  readonly mostBusyMs: number | null;
}

const LOOK_MS = 200;

/** Of all its threads. A process that waits for its disk or for a core takes none, so a slow machine is no damage. */
const busyMs = (): number => {
  const {user, system} = process.cpuUsage();
  return (user + system) / 1000;
};

let end = Infinity;
parentPort?.on('message', ({mostBusyMs}: ParquetWatchMessage) => {
  end = mostBusyMs === null ? Infinity : busyMs() + mostBusyMs;
});
setInterval(() => {
  if (busyMs() > end) process.kill(process.pid, 'SIGKILL');
}, LOOK_MS);
