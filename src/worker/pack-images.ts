/** The `pack` task: decodes the images named on stdin into packs, one after the other. */
import {packItem, type PackItem, type Quarantined, type TaskOf, type TaskResult} from '../children/protocol.js';
import {Lookalikes} from '../images/lookalikes.js';
import {openPack, writePack, type PackRow} from '../images/pack.js';
import {decodeAhead} from './decode-ahead.js';
import {readDescriptors} from './descriptors.js';
import {trackProgress} from './events.js';
import {WorkerFailure} from './failure.js';
import type {TaskContext} from './task-context.js';

const QUARANTINED_PER_EVENT = 100;
const CHANNELS = 3;

/**
 * Looks up whether a picture, square pixels of a side, looks like a held-out one, in the part of it that packs of those
 * hold.
 */
async function lookalikesIn(
  {heldOut}: TaskOf<'pack'>,
  signal: AbortSignal,
): Promise<(pixels: Uint8Array, side: number) => string | null> {
  if (heldOut.length === 0) return () => null;
  const known = new Lookalikes();
  let side = 0;
  for (const {name, pack: path} of heldOut) {
    const pack = await openPack(path);
    try {
      side = pack.size;
      const pixels = new Uint8Array(side * side * CHANNELS);
      let row = 0;
      for await (const id of pack.ids()) {
        signal.throwIfAborted();
        await pack.readRows(row++, 1, pixels);
        known.add(`looks like image ${id} of the ${name} set`, pixels, side);
      }
    } finally {
      await pack.close();
    }
  }
  return (pixels, size) => known.find(centreOf(pixels, size, side), side);
}

/** The middle `side` x `side` pixels of a square picture. */
function centreOf(pixels: Uint8Array, size: number, side: number): Uint8Array {
  if (side === size) return pixels;
  const first = Math.round((size - side) / 2);
  const centre = new Uint8Array(side * side * CHANNELS);
  for (let row = 0; row < side; row++) {
    const from = ((first + row) * size + first) * CHANNELS;
    centre.set(pixels.subarray(from, from + side * CHANNELS), row * side * CHANNELS);
  }
  return centre;
}

/** The descriptors of stdin in the parts of their packs: the next part can be had when all of the one before is read. */
function itemsByPack(task: TaskOf<'pack'>, descriptors: AsyncIterable<string>) {
  const items = readDescriptors(descriptors, packItem);
  let next: PackItem | null = null;
  const advance = async () => {
    const read = await items.next();
    next = read.done ? null : read.value;
    const unknown = [...(next?.labels ?? []), ...(next?.answers?.classes ?? [])].find(
      label => label >= task.classes.length,
    );
    if (unknown !== undefined)
      throw new WorkerFailure(
        'config',
        `Image ${next!.id} has label ${unknown}, but there are ${task.classes.length} classes.`,
      );
  };
  return {
    async *of(pack: number): AsyncGenerator<[PackItem]> {
      if (pack === 0) await advance();
      for (; next?.pack === pack; await advance()) yield [next];
    },
    /** Throws where an item is left over, which belongs to none of the packs, or to one before. */
    end(): void {
      if (next !== null)
        throw new WorkerFailure('config', `Image ${next.id} is for pack ${next.pack}, which is not its turn.`);
    },
  };
}

/**
 * Makes each pack in the order of stdin, less what cannot be decoded or looks like a held-out picture, which is told by
 * `quarantined` events.
 */
export async function packImages(
  task: TaskOf<'pack'>,
  {descriptors, signal, emit}: TaskContext,
): Promise<TaskResult<'pack'>> {
  const lookalikeOf = await lookalikesIn(task, signal);
  const count = trackProgress(emit, null);
  const items = itemsByPack(task, descriptors());
  const packs = [];
  for (const [pack, {output, size}] of task.packs.entries()) {
    let quarantined: Quarantined[] = [];
    let quarantinedCount = 0;
    const sendQuarantined = async () => {
      if (quarantined.length > 0) await emit({type: 'quarantined', pack, images: quarantined});
      quarantinedCount += quarantined.length;
      quarantined = [];
    };
    const decoded = decodeAhead(items.of(pack), {
      decoding: {...task.decoding, size},
      threads: task.threads,
      precautions: task.precautions,
      signal,
    });
    async function* rows(): AsyncGenerator<PackRow> {
      for await (const lot of decoded) {
        for (const {item, pixels, problem} of lot) {
          const alike = problem === null ? lookalikeOf(pixels, size) : null;
          if (problem !== null) quarantined.push({id: item.id, problem});
          else if (alike !== null) quarantined.push({id: item.id, problem: {code: 'LEAK', detail: alike}});
          else yield {id: item.id, pixels, labels: item.labels, answers: item.answers};
        }
        if (quarantined.length >= QUARANTINED_PER_EVENT) await sendQuarantined();
        await count(lot.length);
      }
    }
    const {images, samples} = await writePack(output, {size, classes: task.classes, kept: task.kept}, rows());
    await sendQuarantined();
    packs.push({images, samples, quarantined: quarantinedCount});
  }
  items.end();
  return {packs};
}
