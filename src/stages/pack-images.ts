/** Packs images for the trainer, in prepare the labelled sets and in select what the student learns from. */
import {createHash} from 'node:crypto';
import {readdir} from 'node:fs/promises';
import path from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import {PROTOCOL, type Decoding, type PackItem, type TaskResult} from '../children/protocol.js';
import {openPack, type Answers} from '../images/pack.js';
import {stampOf} from '../pipeline/stamp.js';
import type {LocatedImage, Split} from '../store/images.js';
import {decodingOf, type RunContext} from './context.js';
import {runDecoder} from './tasks.js';
import {gateCulprits, gateFailures} from './failures.js';

export const packItem = (
  {id, place, file, offset, length, encoding}: LocatedImage,
  labels: readonly number[],
  answers: Answers | null,
): PackItem => ({
  id,
  place,
  file,
  offset,
  length,
  encoding,
  labels: [...labels],
  answers: answers && {classes: [...answers.classes], logProbs: [...answers.logProbs]},
});

interface Packing {
  readonly stage: 'prepare' | 'export' | 'select';
  readonly part: string;
  /** The pack's folder. */
  readonly output: string;
  readonly square: 'resize' | 'size';
  /** Of the teacher's answers to each image. */
  readonly kept: number;
  /** Anew for each attempt. */
  readonly items: () => Iterable<PackItem> | AsyncIterable<PackItem>;
  /** How many images the limit on failures counts against. */
  readonly of: number;
  readonly decoding?: Decoding;
  /** Whose pictures none may look like. */
  readonly heldOut?: readonly Split[];
}

/**
 * Packs images for the trainer. Training packs hold the picture at its resized side, so that crops can move in it;
 * validation and test packs hold just what the network sees. What cannot be decoded, or looks like a held-out picture,
 * is set aside under the stage and part.
 */
export async function packImages(
  context: RunContext,
  {stage, part, output, square, kept, items, of, decoding = decodingOf(context), heldOut = []}: Packing,
): Promise<TaskResult<'pack'>> {
  const {store, paths} = context;
  const packed = {...decoding, size: square === 'resize' ? decoding.resize : decoding.size};
  // Told again by each attempt.
  const setAside = new Set<string>();
  return await runDecoder<'pack'>(
    context,
    precautions => ({
      protocol: PROTOCOL,
      task: 'pack',
      output,
      decoding: packed,
      precautions,
      threads: context.threads,
      classes: store.images.classes(),
      kept,
      heldOut: heldOut.map(name => ({name, pack: paths.pack(name)})),
    }),
    {
      stage,
      part: `packing ${part}`,
      decoding: packed,
      lines: items,
      onCulprit: gateCulprits(context, {stage, of}),
      onEvent(event) {
        if (event.type !== 'quarantined') return;
        for (const {id, problem} of event.images) {
          if (setAside.has(id)) continue;
          setAside.add(id);
          const place = store.images.byId(id)?.place ?? id;
          store.quarantine.add(stage, part, {image: id, place, ...problem});
        }
        gateFailures(context, {stage, part, of});
      },
    },
  );
}

/**
 * Packs a split under its own name, unless the pack that is there was made of the same pictures, labels and settings:
 * labelled sets may be large, and a pool grows more often than they do. Returns how many images it holds.
 */
export async function packUnlessThere(context: RunContext, split: Split): Promise<number> {
  const {store, paths} = context;
  const folder = paths.pack(split);
  const made = madeOf(context, split);
  const before = store.packs.read(split);
  if (before?.made === made && isDeepStrictEqual(await stampsOf(folder), before.files)) {
    const pack = await openPack(folder);
    await pack.close();
    return pack.images;
  }
  store.atomically(() => {
    store.packs.forget(split);
    store.quarantine.forgetPart('prepare', split);
  });
  const {images} = await packSplit(context, split, {stage: 'prepare', name: split});
  store.packs.write(split, {made, files: await stampsOf(folder)});
  return images;
}

/** SHA-256 of what a pack of a split is made of. */
function madeOf(context: RunContext, split: Split): string {
  const hash = createHash('sha256').update(JSON.stringify([decodingOf(context), context.store.images.classes()]));
  for (const {id, label} of context.store.images.ofSplit(split)) hash.update(`\n${id} ${label}`);
  return hash.digest('hex');
}

async function stampsOf(folder: string): Promise<Record<string, string>> {
  const stamps: Record<string, string> = {};
  for (const file of await packFiles(folder).catch(() => [])) stamps[path.basename(file)] = (await stampOf(file)) ?? '';
  return stamps;
}

/** Decodes a split into the pack of this name, which is also the part under which pictures are set aside. */
export async function packSplit(
  context: RunContext,
  split: Split,
  {name, ...how}: Pick<Packing, 'stage' | 'decoding'> & {readonly name: string},
): Promise<TaskResult<'pack'>> {
  const {store, paths} = context;
  const items = function* () {
    for (const image of store.images.ofSplit(split)) yield packItem(image, [image.label!], null);
  };
  const of = store.images
    .splitCounts(split, store.images.classes().length)
    .reduce((total, images) => total + images, 0);
  return await packImages(context, {
    ...how,
    part: name,
    output: paths.pack(name),
    square: split === 'train' ? 'resize' : 'size',
    kept: 0,
    items,
    of,
  });
}

/** Every file of a pack, in order of name. */
export const packFiles = async (folder: string): Promise<string[]> =>
  (await readdir(folder)).sort().map(name => path.join(folder, name));
