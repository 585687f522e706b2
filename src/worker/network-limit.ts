/**
 * How long a network may keep its thread busy without an answer, and how much memory it may fill: a file from elsewhere
 * can hold a loop without an end.
 */
import type {Layout} from '../children/protocol.js';
import {WorkerFailure} from './failure.js';

export interface NetworkLimit {
  /** Between two answers. */
  readonly seconds: number;
  /** Of the whole process. */
  readonly bytes: number;
}

const CHANNELS = 3;
const VALUE_BYTES = 4;
/**
 * Far above what any classifier takes on a machine with other work: only what does not end, or inflates, is stopped.
 */
const LEAST_SECONDS = 1200;
const SECONDS_PER_PICTURE = 10;
const SECONDS_PER_MEGABYTE = 1;
const LEAST_BYTES = 4e9;
const TIMES_THE_FILE = 20;
/** What a ResNet-50 holds of a picture at a time is 20 times the picture. */
const TIMES_THE_PIXELS = 1000;

/** The limits for a file of so many bytes that answers pictures of `size` pixels. */
export function networkLimit(
  fileBytes: number,
  size: number,
  {batchSize, networks}: Pick<Layout, 'batchSize' | 'networks'>,
): NetworkLimit {
  return {
    seconds: LEAST_SECONDS + SECONDS_PER_PICTURE * batchSize + (SECONDS_PER_MEGABYTE * fileBytes) / 1e6,
    bytes:
      LEAST_BYTES +
      networks * (TIMES_THE_FILE * fileBytes + TIMES_THE_PIXELS * batchSize * size ** 2 * CHANNELS * VALUE_BYTES),
  };
}

/** A network past one of its limits. Its thread cannot be stopped: once this is told, the process must be killed. */
export class NetworkOverLimit extends WorkerFailure {
  constructor(what: string) {
    super(
      'model',
      `${what}: it is stopped as a network that never ends, or inflates. If it is neither, lower score.batch_size.`,
    );
  }
}

const TICK_MS = 250;

export interface NetworkWatch {
  /** Ends where a limit is passed, and only then. */
  over: Promise<NetworkOverLimit>;
  /** An answer came, or the thread was given work after a rest. */
  restart: () => void;
  stop: () => void;
}

/** Watches a thread while it `isBusy`. Counts turns of the event loop as time-limit.ts does. */
export function watchNetwork({seconds, bytes}: NetworkLimit, isBusy: () => boolean): NetworkWatch {
  let ticks = 0;
  let clock: NodeJS.Timeout | undefined;
  const passed = (): string | null => {
    if (++ticks * TICK_MS > seconds * 1000)
      return `The network gave no answer within ${seconds < 120 ? `${seconds} seconds` : `${Math.round(seconds / 60)} minutes`}`;
    const rss = process.memoryUsage.rss();
    return rss > bytes
      ? `The network fills ${(rss / 1e9).toFixed(1)} GB of memory, more than the ${(bytes / 1e9).toFixed(1)} GB that it may`
      : null;
  };
  const over = new Promise<NetworkOverLimit>(resolve => {
    clock = setInterval(() => {
      const limit = isBusy() ? passed() : null;
      if (limit === null) return;
      clearInterval(clock);
      resolve(new NetworkOverLimit(limit));
    }, TICK_MS);
  });
  return {over, restart: () => (ticks = 0), stop: () => clearInterval(clock)};
}
