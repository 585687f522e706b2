/** Packs images for the trainer, in prepare the labelled sets and in select what the student learns from. */
import {createHash} from 'node:crypto';
import {readdir} from 'node:fs/promises';
import path from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import {PROTOCOL, type Decoding, type PackItem, type TaskResult} from '../children/protocol.js';
import {openPack, type Answers} from '../images/pack.js';
import {hashOf} from '../pipeline/file-hash.js';
import type {LocatedImage, Split} from '../store/images.js';
import type {StageContext} from './context.js';
import {runDecoder} from './tasks.js';
import {gateCulprits, gateFailures} from './failures.js';

/** An image of a labelled set, or one that was chosen. */
export const imageOf = ({store}: Pick<StageContext, 'store'>, id: string): LocatedImage | null =>
  store.images.byId(id) ?? store.chosen.byId(id);

/** An image of a pack, before it is known which one of several that is. */
export type PackImage = Omit<PackItem, 'pack'>;

export const packImage = (
  {id, place, file, offset, length, encoding}: LocatedImage,
  labels: readonly number[],
  answers: Answers | null,
): PackImage => ({
  id,
  place,
  file,
  offset,
  length,
  encoding,
  labels: [...labels],
  answers: answers && {classes: [...answers.classes], logProbs: [...answers.logProbs]},
});

interface Pack {
  /** Of its folder, and of the part under which pictures are set aside. */
  readonly name: string;
  readonly square: 'resize' | 'size';
  /** Anew for each attempt. */
  readonly images: () => Iterable<PackImage> | AsyncIterable<PackImage>;
  /** How many images the limit on failures counts against. */
  readonly of: number;
}

interface Packing {
  readonly stage: 'prepare' | 'export' | 'select';
  readonly packs: readonly Pack[];
  /** Of the teacher's answers to each image. */
  readonly kept: number;
  readonly decoding: Decoding;
  /** Whose pictures none may look like. */
  readonly heldOut?: readonly Split[];
}

/**
 * Makes packs for the trainer, all in one process of the image worker. Training packs hold the picture at its resized
 * side, so that crops can move in it; validation and test packs hold just what the network sees. What cannot be decoded,
 * or looks like a held-out picture, is set aside under the stage and the pack's name.
 */
export async function packImages(
  context: StageContext,
  {stage, packs, kept, decoding, heldOut = []}: Packing,
): Promise<TaskResult<'pack'>['packs']> {
  const {store, paths} = context;
  const side = ({square}: Pack) => (square === 'resize' ? decoding.resize : decoding.size);
  // Told again by each attempt.
  const setAside = packs.map(() => new Set<string>());
  const lines = async function* (): AsyncGenerator<PackItem> {
    for (const [pack, {images}] of packs.entries()) for await (const image of images()) yield {...image, pack};
  };
  const of = packs.reduce((sum, pack) => sum + pack.of, 0);
  const placeOf = (id: string) => imageOf(context, id)?.place ?? id;
  const result = await runDecoder<'pack'>(
    context,
    precautions => ({
      protocol: PROTOCOL,
      task: 'pack',
      packs: packs.map(pack => ({output: paths.pack(pack.name), size: side(pack)})),
      decoding,
      precautions,
      threads: context.threads,
      classes: store.images.classes(),
      kept,
      heldOut: heldOut.map(name => ({name, pack: paths.pack(name)})),
    }),
    {
      stage,
      part: packs.length === 1 ? `packing ${packs[0]!.name}` : 'packing',
      decoding,
      lines,
      onCulprit: gateCulprits(context, {stage, of, placeOf}),
      pictureOf: id => imageOf(context, id),
      onEvent(event) {
        if (event.type !== 'quarantined') return;
        const {name, of} = packs[event.pack]!;
        for (const {id, problem} of event.images) {
          if (setAside[event.pack]!.has(id)) continue;
          setAside[event.pack]!.add(id);
          store.quarantine.add(stage, name, {image: id, place: placeOf(id), ...problem});
        }
        gateFailures(context, {stage, part: name, of});
      },
    },
  );
  return result.packs;
}

/**
 * Packs splits under their own names, but for packs that are there and were made of the same pictures, labels and
 * settings: labelled sets may be large, and a pool grows more often than they do. Returns how many images each holds,
 * of the others none.
 */
export async function packSplits(
  context: StageContext,
  decoding: Decoding,
  splits: readonly Split[],
): Promise<Record<Split, number>> {
  const {store, paths} = context;
  const made = new Map(splits.map(split => [split, madeOf(context, decoding, split)]));
  const todo: Split[] = [];
  for (const split of splits) {
    const before = store.packs.read(split);
    const stands =
      before?.made === made.get(split) && isDeepStrictEqual(await hashesOf(context, paths.pack(split)), before?.files);
    if (!stands) todo.push(split);
  }
  store.atomically(() => {
    for (const split of todo) {
      store.packs.forget(split);
      store.quarantine.forgetPart('prepare', split);
    }
  });
  if (todo.length > 0)
    await packImages(context, {
      stage: 'prepare',
      packs: todo.map(split => packOf(context, split, split)),
      kept: 0,
      decoding,
    });
  for (const split of todo)
    store.packs.write(split, {made: made.get(split)!, files: await hashesOf(context, paths.pack(split))});
  const images = {train: 0, validation: 0, test: 0};
  for (const split of splits) {
    const pack = await openPack(paths.pack(split));
    await pack.close();
    images[split] = pack.images;
  }
  return images;
}

/** SHA-256 of what a pack of a split is made of. */
function madeOf({store}: StageContext, decoding: Decoding, split: Split): string {
  const hash = createHash('sha256').update(JSON.stringify([decoding, store.images.classes()]));
  for (const {id, label} of store.images.ofSplit(split)) hash.update(`\n${id} ${label}`);
  return hash.digest('hex');
}

/** Of each file of a pack, by name. */
async function hashesOf({store, signal}: StageContext, folder: string): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const file of await packFiles(folder).catch(() => []))
    hashes[path.basename(file)] = (await hashOf(file, store.hashes, signal)) ?? '';
  return hashes;
}

/** A split as the pack of this name. */
export function packOf({store}: StageContext, split: Split, name: string): Pack {
  return {
    name,
    square: split === 'train' ? 'resize' : 'size',
    *images() {
      for (const image of store.images.ofSplit(split)) yield packImage(image, [image.label!], null);
    },
    of: store.images.splitSize(split),
  };
}

/** Every file of a pack, in order of name. */
export const packFiles = async (folder: string): Promise<string[]> =>
  (await readdir(folder)).sort().map(name => path.join(folder, name));
