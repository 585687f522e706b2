/** Turns images into pixels ahead of their use: in order, a bounded number at a time, each checked to be still the image it was. */
import pLimit from 'p-limit';
import type {Decoding} from '../children/protocol.js';
import {decodeImage, type DecodedImage} from '../images/decode.js';
import {imageIdOf} from '../images/image-id.js';
import {readAhead, type Place, type Read} from './read-ahead.js';

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
  /** Called, and waited for, before each image is decoded, which then happens one at a time. */
  announce?: (id: string) => Promise<void>;
}

export type Decoded<T> = {item: T} & DecodedImage;

/** Decoded images that may wait for a slow one before them, for each thread. */
const WAITING_PER_THREAD = 4;
/** Files read at a time while others are decoded. */
const READS_IN_FLIGHT = 4;

/** Decodes every item in order; what cannot be decoded is yielded as a problem. Adds the time spent to `spent.seconds`, summed over threads. */
export async function* decodeAhead<T extends ImagePlace>(
  items: AsyncIterable<T>,
  options: DecodeOptions,
  spent = {seconds: 0},
): AsyncGenerator<Decoded<T>> {
  const {decoding, signal, announce} = options;
  const threads = announce === undefined ? options.threads : 1;
  const limit = pLimit(threads);
  const ahead: Promise<Decoded<T>>[] = [];

  async function decode({item, bytes, problem}: Read<T>): Promise<Decoded<T>> {
    if (problem !== null) return {item, pixels: null, problem};
    if (item.id !== null && imageIdOf(bytes) !== item.id)
      return {item, pixels: null, problem: {code: 'CHANGED', detail: 'its bytes are not those that were indexed'}};
    if (item.id !== null) await announce?.(item.id);
    const begun = performance.now();
    const decoded = await decodeImage(bytes, item.encoding, decoding);
    spent.seconds += (performance.now() - begun) / 1000;
    return {item, ...decoded};
  }

  try {
    for await (const reads of readAhead(items, {threads: READS_IN_FLIGHT, maxFileBytes: decoding.maxFileBytes, signal})) {
      for (const read of reads) {
        const next = ahead.length >= threads * WAITING_PER_THREAD ? ahead.shift() : undefined;
        if (next !== undefined) yield await next;
        signal.throwIfAborted();
        ahead.push(limit(() => decode(read)));
      }
    }
    for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) yield await next;
  } finally {
    await Promise.allSettled(ahead);
  }
}
