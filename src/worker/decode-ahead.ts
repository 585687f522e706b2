/**
 * Turns images into pixels ahead of their use: in order, a bounded number at a time, each checked to be still the image
 * it was.
 */
import {READS_AT_ONCE} from '../children/worker-threads.js';
import {copyRecord, isCopied, type DecodedImage} from '../images/decode.js';
import {imageIdOf} from '../images/image-id.js';
import {openDecoder, type DecoderOptions, type ImagePlace} from './decoder.js';
import {readAhead, type Read} from './read-ahead.js';

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
 * Decodes every item in order; what cannot be decoded is yielded as a problem. Items come in lots, and are yielded in
 * lots: records of CIFAR that need no decoder by the run in which they were read, all others one by one. Adds the time
 * spent to `spent`.
 */
export async function* decodeAhead<T extends ImagePlace>(
  items: AsyncIterable<readonly T[]>,
  {decoding, threads, precautions, signal}: DecoderOptions,
  spent: Spent = {reading: 0, decoding: 0},
): AsyncGenerator<Decoded<T>[]> {
  const decoder = openDecoder({decoding, threads, precautions, signal}, spent);
  const ahead: Promise<Decoded<T>[]>[] = [];

  async function decode(read: Read<T>): Promise<Decoded<T>[]> {
    const {item, bytes, problem} = checked(read);
    return [{item, ...(problem === null ? await decoder.decode(item, bytes) : {pixels: null, problem})}];
  }

  /** A few microseconds a record: less than it takes to hand one to the thread pool. */
  function copy(reads: readonly Read<T>[]): Decoded<T>[] {
    const begun = performance.now();
    const copied = reads.map((read): Decoded<T> => {
      const {item, bytes, problem} = checked(read);
      return problem === null ? {item, ...copyRecord(bytes)} : {item, pixels: null, problem};
    });
    // As if all threads had been at it: nothing else is decoded meanwhile.
    spent.decoding += (threads * (performance.now() - begun)) / 1000;
    return copied;
  }

  const areCopied = (reads: readonly Read<T>[]) =>
    isCopied(decoding) && reads.every(({item}) => item.encoding === 'cifar');
  try {
    for await (const reads of readAhead(
      items,
      {threads: READS_AT_ONCE, maxFileBytes: decoding.maxFileBytes, signal},
      spent,
    )) {
      const decodings = areCopied(reads) ? [() => Promise.resolve(copy(reads))] : reads.map(read => () => decode(read));
      for (const start of decodings) {
        const next = ahead.length >= threads * WAITING_PER_THREAD ? ahead.shift() : undefined;
        if (next !== undefined) yield await next;
        signal.throwIfAborted();
        const started = start();
        started.catch(() => {}); // Awaited in its turn; until then its failure is nobody's.
        ahead.push(started);
      }
    }
    for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
      yield await next;
      signal.throwIfAborted();
    }
  } finally {
    await Promise.allSettled(ahead);
    decoder.close();
  }
}
