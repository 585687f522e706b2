/**
 * Draws the demo's data set: folders of PNG pictures, labelled, unlabelled and test, every byte of them decided by the
 * seed.
 */
import {mkdir, writeFile} from 'node:fs/promises';
import {availableParallelism} from 'node:os';
import {dirname, join, posix} from 'node:path';
import pLimit from 'p-limit';
import sharp from 'sharp';
import type {TaskOf, TaskResult} from '../children/protocol.js';
import {publishFolder} from '../files/publish.js';
import {kinds, others, type Draw} from './demo/kinds.js';
import {randomFor, type Random} from './demo/random.js';
import {scene} from './demo/scene.js';
import {trackProgress} from './events.js';
import type {TaskContext} from './task-context.js';

/** This share of the unlabelled pictures shows nothing of any class. */
const OTHER_SHARE = 1 / 6;
/** The strongest grain: the standard deviation of the noise on a pixel's 0..255. */
const MAX_GRAIN = 18;

/**
 * A picture to draw. Its place in the data set is also the key of its random numbers, so the order of drawing decides
 * nothing.
 */
interface Picture {
  readonly file: string;
  /** What it shows; null: its own random numbers choose, as in a heap that nobody sorted. */
  readonly draw: Draw | null;
}

/**
 * Draws `labelled/CLASS/NNN.png`, `unlabelled/NNNNN.png` and `test/CLASS/NNN.png` into the folder `task.output`, which
 * appears whole or not at all and takes the place of an earlier one. Throws the signal's reason when aborted, and then
 * leaves nothing behind.
 */
export async function drawDemo(
  task: TaskOf<'draw'>,
  {signal, emit}: Pick<TaskContext, 'signal' | 'emit'>,
): Promise<TaskResult<'draw'>> {
  const pictures = plan(task);
  const report = trackProgress(emit, pictures.length);

  const drawInto = async (folder: string, {file, draw}: Picture) => {
    signal.throwIfAborted();
    const random = randomFor(`${task.seed}/${file}`);
    await writeFile(join(folder, file), await render(random, task.size, draw ?? anything(random)));
    await report(1);
  };

  await publishFolder(task.output, async folder => {
    for (const parent of new Set(pictures.map(({file}) => dirname(file))))
      await mkdir(join(folder, parent), {recursive: true});
    // Two a core: one is in libvips while the other waits for the disk.
    const limit = pLimit(2 * availableParallelism());
    // All are awaited, also after a failure, so that none still writes when the folder is cleared away.
    const outcomes = await Promise.allSettled(pictures.map(picture => limit(drawInto, folder, picture)));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  });
  return {images: pictures.length};
}

function plan({labelledPerClass, unlabelled, testPerClass}: TaskOf<'draw'>): Picture[] {
  const numbered = (count: number, folder: string, digits: number, draw: Draw | null): Picture[] =>
    Array.from({length: count}, (_, index) => ({
      file: posix.join(folder, `${String(index).padStart(digits, '0')}.png`),
      draw,
    }));
  const perClass = (count: number, set: string) =>
    Object.entries(kinds).flatMap(([name, draw]) => numbered(count, posix.join(set, name), 3, draw));
  return [
    ...perClass(labelledPerClass, 'labelled'),
    ...numbered(unlabelled, 'unlabelled', 5, null),
    ...perClass(testPerClass, 'test'),
  ];
}

const anything = (random: Random): Draw =>
  random.pick(random.chance(OTHER_SHARE) ? others : Object.values<Draw>(kinds));

/** The PNG of one picture: its scene, grainy as if a cheap camera had taken it. */
async function render(random: Random, size: number, draw: Draw): Promise<Buffer> {
  const pixels = await sharp(Buffer.from(scene(random, size, draw)))
    .removeAlpha()
    .raw()
    .toBuffer();
  const grain = random.between(0, MAX_GRAIN);
  // The sum of three uniform numbers is close enough to a normal distribution; its standard deviation is 1.
  for (let index = 0; index < pixels.length; index += 1) {
    const noise = random.between(-1, 1) + random.between(-1, 1) + random.between(-1, 1);
    pixels[index] = Math.min(255, Math.max(0, Math.round((pixels[index] ?? 0) + grain * noise)));
  }
  return sharp(pixels, {raw: {width: size, height: size, channels: 3}})
    .png()
    .toBuffer();
}
