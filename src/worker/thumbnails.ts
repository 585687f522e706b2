/** The `thumbnails` task: small pictures of a pack's rows, as data URIs in one JSON file. */
import {writeFile} from 'node:fs/promises';
import pLimit from 'p-limit';
import sharp from 'sharp';
import type {TaskOf, TaskResult} from '../children/protocol.js';
import {openPack, type Pack} from '../images/pack.js';
import {publishFile} from '../files/publish.js';
import type {TaskContext} from './task-context.js';

const CHANNELS = 3;
const AT_A_TIME = 8;

async function thumbnail(pack: Pack, row: number, size: number): Promise<string> {
  const pixels = Buffer.alloc(pack.size * pack.size * CHANNELS);
  await pack.readRows(row, 1, pixels);
  const image = sharp(pixels, {raw: {width: pack.size, height: pack.size, channels: CHANNELS}});
  const webp = await image.resize(size, size, {withoutEnlargement: true}).webp({quality: 75}).toBuffer();
  return `data:image/webp;base64,${webp.toString('base64')}`;
}

/**
 * Writes `{id: data URI}` for every id of the task that is in the pack. Pictures smaller than `size` keep their size.
 */
export async function drawThumbnails(
  task: TaskOf<'thumbnails'>,
  {signal}: Pick<TaskContext, 'signal'>,
): Promise<TaskResult<'thumbnails'>> {
  const pack = await openPack(task.pack);
  try {
    const wanted = new Set(task.ids);
    const limit = pLimit(AT_A_TIME);
    const drawing: Promise<[id: string, uri: string]>[] = [];
    let row = 0;
    for await (const id of pack.ids()) {
      signal.throwIfAborted();
      const at = row++;
      if (wanted.has(id)) drawing.push(limit(async () => [id, await thumbnail(pack, at, task.size)]));
    }
    const drawn = await Promise.all(drawing);
    await publishFile(task.output, temporary => writeFile(temporary, JSON.stringify(Object.fromEntries(drawn))));
    return {images: drawn.length};
  } finally {
    await pack.close();
  }
}
