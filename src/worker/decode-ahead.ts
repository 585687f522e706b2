/** Turns images into pixels ahead of their use: in order, a bounded number at a time, each checked to be still the image it was. */
import pLimit from 'p-limit';
import type {Decoding} from '../children/protocol.js';
import {READS_AT_ONCE, SPARE_THREADS} from '../children/worker-pool.js';
import {copyRecord, decodeImage, isCopied, type DecodedImage} from '../images/decode.js';
import {imageIdOf} from '../images/image-id.js';
import {readAhead, type Place, type Read} from './read-ahead.js';
import {timeLimit, tooLate} from './time-limit.js';

export interface ImagePlace extends Place {
  encoding: 'encoded' | 'cifar';
  /** Null where the image is not known yet. */
  id: string | null;
}

export interface DecodeOptions {
  decoding: Decoding;
  /** Images decoded at a time. The result does not depend on it. */
  threads: number;
  signal: AbortSignal;
  /** Called, and waited for, before each image is decoded, which then happens one at a time, and with null after it. */
  announce?: (id: string | null) => Promise<void>;
}

export type Decoded<T> = {item: T} & DecodedImage;

/** Decoded images that may wait for a slow one before them, for each thread. */
const WAITING_PER_THREAD = 4;

/** Seconds of work so far, summed over all that was done at once. */
export interface Spent {
  reading: number;
  decoding: number;
}

/** The read, unless its bytes are no longer those of the image. */
function checked<T extends ImagePlace>(read: Read<T>): Read<T> {
  const {item, bytes} = read;
  if (bytes === null || item.id === null || imageIdOf(bytes) === item.id) return read;
  return {item, bytes: null, problem: {code: 'CHANGED', detail: 'its bytes are not those that were indexed'}};
}

/**
 * Decodes every item in order; what cannot be decoded is yielded as a problem. Items come in lots, and are yielded in lots: records
 * of CIFAR that need no decoder by the run in which they were read, all others one by one. Adds the time spent to `spent`.
 */
export async function* decodeAhead<T extends ImagePlace>(
  items: AsyncIterable<readonly T[]>,
  {decoding, threads, signal, announce}: DecodeOptions,
  spent: Spent = {reading: 0, decoding: 0},
): AsyncGenerator<Decoded<T>[]> {
  const atOnce = announce === undefined ? threads : 1;
  const limit = pLimit(atOnce);
  const time = timeLimit(decoding.timeoutSeconds);
  let late = 0;
  const ahead: Promise<Decoded<T>[]>[] = [];

  async function timedDecode(bytes: Buffer, encoding: ImagePlace['encoding']): Promise<DecodedImage> {
    const begun = performance.now();
    const decoded = await decodeImage(bytes, encoding, decoding);
    spent.decoding += (performance.now() - begun) / 1000;
    return decoded;
  }

  /** Tells what became of an image, then keeps its place among those at work for as long as its decoder keeps a thread that nothing can stand in for. */
  async function decode(read: Read<T>, tell: (decoded: Decoded<T>[]) => void): Promise<void> {
    if (signal.aborted) return tell([]);
    const {item, bytes, problem} = checked(read);
    if (problem !== null) return tell([{item, pixels: null, problem}]);
    if (item.id !== null) await announce?.(item.id);
    const work = timedDecode(bytes, item.encoding);
    const decoded = await time.within(work);
    if (decoded === tooLate) {
      tell([{item, pixels: null, problem: {code: 'DECODE_TIMEOUT', detail: `took longer than ${decoding.timeoutSeconds} s (limits.decode_seconds)`}}]);
      const ended = work.catch(() => {}).finally(() => late--);
      // Who waits behind it for a thread must not be called late in its stead.
      if (++late > SPARE_THREADS || announce !== undefined) await ended;
    }
    // Before the network gets it: what dies from now on dies of something else.
    await announce?.(null);
    if (decoded !== tooLate) tell([{item, ...decoded}]);
  }

  /** A few microseconds a record: less than it takes to hand one to the thread pool. */
  function copy(reads: readonly Read<T>[]): Decoded<T>[] {
    const begun = performance.now();
    const copied = reads.map((read): Decoded<T> => {
      const {item, bytes, problem} = checked(read);
      return problem === null ? {item, ...copyRecord(bytes)} : {item, pixels: null, problem};
    });
    // As if all threads had been at it: nothing else is decoded meanwhile.
    spent.decoding += (atOnce * (performance.now() - begun)) / 1000;
    return copied;
  }

  const inTurn = (read: Read<T>) => new Promise<Decoded<T>[]>((tell, fail) => void limit(() => decode(read, tell)).catch(fail));
  const areCopied = (reads: readonly Read<T>[]) => announce === undefined && isCopied(decoding) && reads.every(({item}) => item.encoding === 'cifar');
  try {
    for await (const reads of readAhead(items, {threads: READS_AT_ONCE, maxFileBytes: decoding.maxFileBytes, signal}, spent)) {
      const decodings = areCopied(reads) ? [() => copy(reads)] : reads.map(read => () => inTurn(read));
      for (const start of decodings) {
        const next = ahead.length >= atOnce * WAITING_PER_THREAD ? ahead.shift() : undefined;
        if (next !== undefined) yield await next;
        signal.throwIfAborted();
        ahead.push(Promise.resolve(start()));
      }
    }
    for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
      yield await next;
      signal.throwIfAborted();
    }
  } finally {
    await Promise.allSettled(ahead);
    time.close();
  }
}
