/**
 * Puts decoded images into batches of one shape, and the batches through a network: one in it (in each, where there are
 * several), one ready.
 */
import type {Answers, Session} from './session.js';

const CHANNELS = 3;
const BATCHES_READY = 1;

export interface Batches<T> {
  /** Takes an image; waits while the network is behind. */
  add: (item: T, pixels: Uint8Array) => Promise<void>;
  /**
   * Sends what has come since the last batch, padded. Returns once it is on its way; its answers, and those of all
   * before it, are there when `answered` ends.
   */
  flush: () => Promise<{answered: Promise<void>}>;
}

/**
 * `onAnswers` is called for one batch after the other, in order; what it throws is thrown by `add`, `flush` or
 * `answered`.
 */
export function batchesOf<T>(
  session: Session,
  batchSize: number,
  onAnswers: (items: readonly T[], answers: Answers) => Promise<void>,
): Batches<T> {
  const imageBytes = session.model.size ** 2 * CHANNELS;
  const newPixels = () => new Uint8Array(batchSize * imageBytes);
  const spare: Uint8Array<ArrayBuffer>[] = [];
  const inFlight: Promise<void>[] = [];
  let answered = Promise.resolve();
  let items: T[] = [];
  let pixels = newPixels();

  async function send(): Promise<void> {
    const sent = items;
    pixels.fill(0, sent.length * imageBytes);
    const running = session.run(pixels);
    const before = answered;
    answered = running.then(async answers => {
      spare.push(answers.pixels);
      await before;
      await onAnswers(sent, answers);
    });
    answered.catch(() => {}); // Awaited by whoever sends next or waits; until then its failure is nobody's.
    inFlight.push(answered);
    if (inFlight.length >= session.networks + BATCHES_READY) await inFlight.shift();
    items = [];
    pixels = spare.pop() ?? newPixels();
  }

  return {
    async add(item, image) {
      pixels.set(image, items.length * imageBytes);
      items.push(item);
      if (items.length === batchSize) await send();
    },
    async flush() {
      if (items.length > 0) await send();
      return {answered};
    },
  };
}
