/**
 * Decodes strangers' pictures so that none stops the others: each has its time, is named in a file while it is in hand,
 * and what fails is tried once more, alone.
 */
import pLimit from 'p-limit';
import type {Decoding, Precautions, Problem} from '../children/protocol.js';
import {SPARE_THREADS} from '../children/worker-threads.js';
import {decodeImage, type DecodedImage} from '../images/decode.js';
import {WorkerFailure} from './failure.js';
import {heldThreads} from './held-threads.js';
import {openHandFile, type InHand} from './in-hand.js';
import type {Place} from './read-ahead.js';
import {timeLimit, tooLate} from './time-limit.js';
import {turns, type Turns} from './turns.js';

export interface ImagePlace extends Place {
  encoding: 'encoded' | 'cifar';
  /** Null where the image is not known yet. */
  id: string | null;
}

export interface DecoderOptions {
  decoding: Decoding;
  /** Images decoded at a time. The result does not depend on it. */
  threads: number;
  precautions: Precautions;
  signal: AbortSignal;
}

export interface Decoder {
  /** Rejects with a `stuck` failure once so many decoders hang that this process cannot go on. */
  decode: (picture: ImagePlace, bytes: Buffer) => Promise<DecodedImage>;
  close: () => void;
}

type Tell = (decoded: DecodedImage) => void;

interface Attempt {
  readonly inHand: InHand;
  /** Goes on where `decoded` is too late. */
  readonly work: Promise<DecodedImage>;
  readonly decoded: DecodedImage | typeof tooLate;
}

/**
 * Opens the decoder of a task, of which there is one in a process. Adds the seconds of all threads to `spent`. The
 * caller closes it.
 */
export function openDecoder(
  {decoding, threads, precautions, signal}: DecoderOptions,
  spent: {decoding: number},
): Decoder {
  const slots = pLimit(threads);
  const time = timeLimit(decoding.timeoutSeconds);
  const hands = openHandFile(precautions.inHand);
  const culprits = new Map(precautions.culprits.map(({key, problem}) => [key, problem]));
  const timeout: Problem = {
    code: 'DECODE_TIMEOUT',
    detail: `took longer than ${decoding.timeoutSeconds} s (limits.decode_seconds)`,
  };
  const {beside, alone} = turns();
  /** Ways to fail the pictures that have no answer yet. */
  const unanswered = new Set<(error: WorkerFailure) => void>();
  let stuck: WorkerFailure | null = null;

  async function timedDecode(bytes: Buffer, encoding: ImagePlace['encoding']): Promise<DecodedImage> {
    const begun = performance.now();
    const decoded = await decodeImage(bytes, encoding, decoding);
    spent.decoding += (performance.now() - begun) / 1000;
    return decoded;
  }

  /**
   * Keeps a late picture's place among those at work for as long as its decoder keeps a thread that nothing can stand
   * in for.
   */
  async function waitForThread(work: Promise<unknown>): Promise<void> {
    const ended = work.catch(() => {}).finally(() => heldThreads.count--);
    // Who waits behind it for a thread must not be called late in its stead.
    if (++heldThreads.count <= SPARE_THREADS || (await time.within(ended)) !== tooLate) return;
    stuck = new WorkerFailure(
      'stuck',
      `${heldThreads.count} pictures hold up the decoder for more than ${decoding.timeoutSeconds} s each (limits.decode_seconds).`,
    );
    for (const fail of unanswered) fail(stuck);
  }

  /** Decodes a picture within its time, and returns the outcome; null where the time was up, which is told at once. */
  async function attempt(
    {id, file, encoding}: ImagePlace,
    bytes: Buffer,
    turn: Turns['beside'],
    tell: Tell,
  ): Promise<DecodedImage | null> {
    const {inHand, work, decoded} = await turn(async (): Promise<Attempt> => {
      const inHand = hands.take(id ?? file);
      const work = timedDecode(bytes, encoding).finally(() => hands.putDown(inHand));
      return {inHand, work, decoded: await time.within(work)};
    });
    if (decoded !== tooLate) return decoded;
    hands.setLate(inHand, timeout);
    tell({pixels: null, problem: timeout});
    await waitForThread(work);
    return null;
  }

  async function inSlot(picture: ImagePlace, bytes: Buffer, tell: Tell): Promise<void> {
    signal.throwIfAborted();
    const first = await attempt(picture, bytes, beside, tell);
    const decoded = first !== null && 'isHearsay' in first ? await attempt(picture, bytes, alone, tell) : first;
    if (decoded !== null) tell(decoded);
  }

  return {
    async decode(picture, bytes) {
      const known = culprits.get(picture.id ?? picture.file);
      if (known !== undefined) return {pixels: null, problem: known};
      if (stuck !== null) throw stuck;
      return await new Promise((tell, fail) => {
        unanswered.add(fail);
        void slots(() => inSlot(picture, bytes, tell))
          .catch(fail)
          .finally(() => unanswered.delete(fail));
      });
    },
    close() {
      time.close();
      hands.close();
    },
  };
}
