/**
 * The `trial` task: finds by short measurements how many networks and their threads, images at once and decoders score
 * fastest here.
 */
import {scoreShard, type ImageReference, type Layout, type TaskOf, type TaskResult} from '../children/protocol.js';
import {batchesOf} from './batches.js';
import {decodeAhead} from './decode-ahead.js';
import {readDescriptors} from './descriptors.js';
import {checkDecoding, openSession} from './session.js';
import type {TaskContext} from './task-context.js';

/** Of one measurement: batches until buffers are warm and decoders ahead, then so long and so many. */
const WARM_UP_BATCHES = 2;
const FEWEST_BATCHES = 3;
const SECONDS = 1;
/** A trial takes about ten seconds. Where the whole pool takes less than this, it does not pay. */
const SECONDS_WORTH_A_TRIAL = 300;
/** A layout is left for another only where that one is faster by more than two measurements of the same differ. */
const NOISE = 1.03;

interface Sample {
  readonly images: readonly ImageReference[];
  /**
   * Those of them that were seen to be broken or too slow: one of them would be in some measurements more often than in
   * others.
   */
  readonly unusable: Set<ImageReference>;
}

/**
 * What to try next of each part: more networks with fewer threads each, other numbers of images in both directions,
 * fewer threads.
 */
const searches: Record<TaskOf<'trial'>['searched'][number], ((layout: Layout) => Layout)[]> = {
  networks: [
    layout =>
      layout.networkThreads === 1
        ? layout
        : {...layout, networks: layout.networks * 2, networkThreads: Math.floor(layout.networkThreads / 2)},
  ],
  batchSize: [
    layout => ({...layout, batchSize: layout.batchSize * 2}),
    layout => ({...layout, batchSize: Math.ceil(layout.batchSize / 2)}),
  ],
  networkThreads: [layout => ({...layout, networkThreads: Math.ceil(layout.networkThreads / 2)})],
  decodeThreads: [layout => ({...layout, decodeThreads: Math.ceil(layout.decodeThreads / 2)})],
};
/** Images in all networks at once, which is what memory grows with. */
const imagesInside = ({networks, batchSize}: Layout): number => networks * batchSize;

interface Measured {
  layout: Layout;
  /** Images a second. */
  rate: number;
  /** Whether there is memory for as much again. */
  mayGrow: boolean;
}

/**
 * Measures the layout that the task names and, where that pays, others around it, part by part and as long as they get
 * faster.
 */
export async function trial(task: TaskOf<'trial'>, {descriptors, signal}: TaskContext): Promise<TaskResult<'trial'>> {
  const images: ImageReference[] = [];
  for await (const shard of readDescriptors(descriptors(), scoreShard)) images.push(...shard.images);
  const sample = {images, unusable: new Set<ImageReference>()};
  let best = await measure(task, task.layout, sample, signal);
  const first = best.rate;
  let tried = 1;
  if (first === 0 || task.images / first < SECONDS_WORTH_A_TRIAL)
    return {layout: best.layout, imagesPerSecond: first, firstImagesPerSecond: first, tried};
  for (const part of task.searched) {
    for (const next of searches[part]) {
      const before = best;
      for (;;) {
        const layout = next(best.layout);
        if (layout[part] === best.layout[part] || layout.batchSize > images.length) break;
        if (imagesInside(layout) > imagesInside(best.layout) && !best.mayGrow) break;
        const measured = await measure(task, layout, sample, signal);
        tried++;
        if (measured.rate < best.rate * NOISE) break;
        best = measured;
      }
      // Further on was faster: back is not.
      if (best !== before) break;
    }
  }
  return {layout: best.layout, imagesPerSecond: best.rate, firstImagesPerSecond: first, tried};
}

/**
 * Measures a layout from bytes to answers, the images over and over; the rate is 0 where none of them can be decoded.
 * Adds to `unusable`.
 */
async function measure(
  {model, device, decoding, precautions}: TaskOf<'trial'>,
  layout: Layout,
  {images, unusable}: Sample,
  signal: AbortSignal,
): Promise<Measured> {
  const session = await openSession(model, device, layout);
  try {
    checkDecoding(session.model, decoding);
    const answeredAt: number[] = [];
    let answered = 0;
    const seconds = () => ((answeredAt.at(-1) ?? 0) - (answeredAt[WARM_UP_BATCHES - 1] ?? Infinity)) / 1000;
    const isEnough = () => answeredAt.length >= WARM_UP_BATCHES + FEWEST_BATCHES && seconds() >= SECONDS;
    const batches = batchesOf<null>(session, layout.batchSize, items => {
      if (answeredAt.push(performance.now()) > WARM_UP_BATCHES) answered += items.length;
      return Promise.resolve();
    });

    let decodable = true;
    async function* again(): AsyncGenerator<readonly ImageReference[]> {
      while (!isEnough() && decodable) yield await Promise.resolve(images.filter(image => !unusable.has(image)));
    }
    let [seen, decoded] = [0, 0];
    for await (const lot of decodeAhead(again(), {decoding, threads: layout.decodeThreads, precautions, signal})) {
      for (const {item, pixels} of lot) {
        if (pixels === null) unusable.add(item);
        else decoded++;
        if (pixels !== null && !isEnough()) await batches.add(null, pixels);
      }
      seen += lot.length;
      decodable = decoded > 0 || seen < images.length;
      if (isEnough() || !decodable) break;
    }
    await (
      await batches.flush()
    ).answered;
    const mayGrow = process.availableMemory() > process.memoryUsage.rss();
    return {layout, rate: answered === 0 ? 0 : answered / seconds(), mayGrow};
  } finally {
    await session.close();
  }
}
