/** The `pack` task: decodes the images named on stdin into one pack. */
import {packItem, type PackItem, type Quarantined, type TaskOf, type TaskResult} from '../children/protocol.js';
import {Lookalikes} from '../images/lookalikes.js';
import {openPack, writePack, type PackRow} from '../images/pack.js';
import {decodeAhead} from './decode-ahead.js';
import {readDescriptors} from './descriptors.js';
import {trackProgress, type Emit} from './events.js';
import {WorkerFailure} from './failure.js';

const QUARANTINED_PER_EVENT = 100;
const CHANNELS = 3;

/**
 * Looks up whether a picture, square pixels of `decoding.size`, looks like a held-out one, in the part of it that packs
 * of those hold.
 */
async function lookalikesIn(
  {heldOut, decoding}: TaskOf<'pack'>,
  signal: AbortSignal,
): Promise<(pixels: Uint8Array) => string | null> {
  if (heldOut.length === 0) return () => null;
  const known = new Lookalikes();
  let side = decoding.size;
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
  return pixels => known.find(centreOf(pixels, decoding.size, side), side);
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

/**
 * Packs in the order of stdin, less what cannot be decoded or looks like a held-out picture, which is told by
 * `quarantined` events.
 */
export async function packImages(task: TaskOf<'pack'>, signal: AbortSignal, emit: Emit): Promise<TaskResult<'pack'>> {
  const lookalikeOf = await lookalikesIn(task, signal);
  const count = trackProgress(emit, null);
  let quarantined: Quarantined[] = [];
  let quarantinedCount = 0;

  const sendQuarantined = async () => {
    if (quarantined.length > 0) await emit({type: 'quarantined', images: quarantined});
    quarantinedCount += quarantined.length;
    quarantined = [];
  };
  async function* items(): AsyncGenerator<[PackItem]> {
    for await (const item of readDescriptors(process.stdin, packItem, signal)) {
      const unknown = [...item.labels, ...(item.answers?.classes ?? [])].find(label => label >= task.classes.length);
      if (unknown !== undefined)
        throw new WorkerFailure(
          'config',
          `Image ${item.id} has label ${unknown}, but there are ${task.classes.length} classes.`,
        );
      yield [item];
    }
  }
  async function* rows(): AsyncGenerator<PackRow> {
    for await (const lot of decodeAhead(items(), {
      decoding: task.decoding,
      threads: task.threads,
      precautions: task.precautions,
      signal,
    })) {
      for (const {item, pixels, problem} of lot) {
        const alike = problem === null ? lookalikeOf(pixels) : null;
        if (problem !== null) quarantined.push({id: item.id, problem});
        else if (alike !== null) quarantined.push({id: item.id, problem: {code: 'LEAK', detail: alike}});
        else yield {id: item.id, pixels, labels: item.labels, answers: item.answers};
      }
      if (quarantined.length >= QUARANTINED_PER_EVENT) await sendQuarantined();
      await count(lot.length);
    }
  }

  const {images, samples} = await writePack(
    task.output,
    {size: task.decoding.size, classes: task.classes, kept: task.kept},
    rows(),
  );
  await sendQuarantined();
  return {images, samples, quarantined: quarantinedCount};
}
