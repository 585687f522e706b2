/** The `index` task: lists every image of every source with its id into files, and tells of those that have none. */
import type {TaskOf, TaskResult, Unusable} from '../children/protocol.js';
import {UserError} from '../errors.js';
import {className, quoted} from '../images/class-name.js';
import {lookAtFew, NO_STAMP} from '../images/file-stamps.js';
import type {HashedImages} from '../images/file-thread.js';
import {inOrder, openFileThreads} from '../images/file-threads.js';
import {roomForKnown, stampAt, type KnownFiles} from '../images/known-files.js';
import {openSource, type Entry, type Source} from '../images/source.js';
import {CHUNK_ROWS, chunksIn, openListing, readChunk} from '../pool/listing-files.js';
import {trackProgress, type Emit} from './events.js';
import type {TaskContext} from './task-context.js';

type IndexTask = TaskOf<'index'>;
type SourceResult = TaskResult<'index'>['sources'][number];

/** Numbers in their own order, names by code unit. */
const sorted = (labels: Iterable<string>) => {
  const byName = [...labels].sort();
  return byName.every(label => /^\d+$/.test(label)) ? byName.sort((a, b) => Number(a) - Number(b)) : byName;
};

/** Gives labels their one form, and remembers which had another. */
class ClassNames {
  private readonly forms = new Map<string, string>();

  formOf(label: string, place: string): string {
    const known = this.forms.get(label);
    if (known !== undefined) return known;
    const form = className(label, place);
    this.forms.set(label, form);
    return form;
  }

  notes(): string[] {
    const changed = [...this.forms].filter(([label, form]) => label !== form);
    const [first] = changed;
    if (first === undefined) return [];
    return [
      `${changed.length === 1 ? '1 class name was' : `${changed.length} class names were`} brought to one form (Unicode NFC, no blanks at the ends): ${quoted(first[0])} is ${quoted(first[1])}${changed.length > 1 ? ', for example' : ''}`,
    ];
  }
}

interface Listing {
  /** Of the source in its task. */
  number: number;
  labelled: boolean;
  /** Folders: of this listing, and of those before. */
  listing: string;
  known: readonly string[];
  count: (images: number) => Promise<void>;
  signal: AbortSignal;
  emit: Emit;
}

/** What earlier listings tell of files that may not have changed. One that cannot be read tells nothing. */
async function knownFiles(folders: readonly string[]): Promise<KnownFiles | null> {
  const chunks: {folder: string; chunk: number}[] = [];
  for (const folder of folders)
    for (let chunk = 0; chunk < (await chunksIn(folder)); chunk++) chunks.push({folder, chunk});
  if (chunks.length === 0) return null;
  const {known, add} = roomForKnown(chunks.length * CHUNK_ROWS);
  for (const {folder, chunk} of chunks) {
    try {
      const {rows, ids, stamps, file, offsets} = await readChunk(folder, chunk);
      for (let row = 0; row < rows; row++) {
        const [stamp, offset] = [stamps[file[row]!]!, offsets?.[row] ?? 0];
        if (stamp !== NO_STAMP) add(offset === 0 ? stamp : stampAt(stamp, offset - 1), ids, row);
      }
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
  }
  return known;
}

/** Images that are named by their bytes together, and the stamp of the file of each that lies in one with others. */
interface Lot {
  readonly images: readonly Entry[];
  readonly unusable: readonly Unusable[];
  readonly hashed: HashedImages | null;
  readonly stampOf: (image: number) => bigint;
}

async function indexSource(
  source: Source,
  {maxFileBytes, readThreads}: IndexTask,
  {number, labelled, listing, known, count, signal, emit}: Listing,
): Promise<SourceResult> {
  const labels = new Set<string>();
  const names = new ClassNames();
  const threads = openFileThreads(readThreads, {known: await knownFiles(known), signal});
  const writer = openListing(listing);
  /** Of files that many images lie in. */
  const stamps = new Map<string, bigint>();
  let images = 0;

  async function* lots(): AsyncGenerator<Pick<Lot, 'images' | 'unusable'>> {
    for await (const entries of source.entries(signal)) {
      const usable: Entry[] = [];
      const unusable: Unusable[] = [];
      for (const entry of entries) {
        const {file, member, label, problem} = entry;
        if (problem !== null) unusable.push({file, member, problem});
        else if (labelled && label === null)
          unusable.push({
            file,
            member,
            problem: {code: 'NO_LABEL', detail: 'no class folder or label tells its class'},
          });
        else if (label === null) usable.push(entry);
        else usable.push({...entry, label: names.formOf(label, `${source.root}/${file}`)});
      }
      yield {images: usable, unusable};
    }
  }

  /** Hashes whole files, or ranges of files. */
  async function hashLot({images: lot, unusable}: Pick<Lot, 'images' | 'unusable'>): Promise<Lot> {
    const [first] = lot;
    if (first === undefined) return {images: lot, unusable, hashed: null, stampOf: () => NO_STAMP};
    const folder = source.root;
    if (first.offset === null) {
      const hashed = await threads.hash({folder, names: lot.map(({file}) => file), ranges: null, maxFileBytes});
      return {images: lot, unusable, hashed, stampOf: image => hashed.stamps![image]!};
    }
    const files = [...new Set(lot.map(({file}) => file))];
    const unseen = files.filter(file => !stamps.has(file));
    (await lookAtFew({folder, names: unseen})).stamps.forEach((stamp, index) => stamps.set(unseen[index]!, stamp));
    const numbers = new Map(files.map((file, index) => [file, index]));
    const ranges = {
      file: Uint32Array.from(lot, ({file}) => numbers.get(file)!),
      offset: Float64Array.from(lot, ({offset}) => offset!),
      length: Float64Array.from(lot, ({length}) => length!),
      stamps: BigUint64Array.from(files, file => stamps.get(file)!),
    };
    const hashed = await threads.hash({folder, names: files, ranges, maxFileBytes});
    return {images: lot, unusable, hashed, stampOf: image => stamps.get(lot[image]!.file)!};
  }

  try {
    for await (const {images: lot, unusable, hashed, stampOf} of inOrder(lots(), threads.lotsAhead, hashLot)) {
      signal.throwIfAborted();
      const problems = new Map(hashed?.problems.map(({image, problem}) => [image, problem]));
      for (const [image, entry] of lot.entries()) {
        if (problems.has(image)) continue;
        writer.add(entry, hashed!.ids, image, stampOf(image));
        images++;
        if (entry.label !== null) labels.add(entry.label);
      }
      await writer.flush();
      const all = [
        ...unusable,
        ...[...problems].map(([image, problem]) => ({file: lot[image]!.file, member: lot[image]!.member, problem})),
      ];
      if (all.length > 0) await emit({type: 'unusable', source: number, images: all});
      await count(lot.length + unusable.length);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    // What was hashed so far spares the next listing that much.
    await writer.close();
    throw signal.reason;
  } finally {
    await threads.close();
  }
  const declared = (await source.classes())?.map(name => names.formOf(name, source.root));
  return {
    classes: labelled ? (declared === undefined ? sorted(labels) : [...new Set(declared)]) : null,
    images,
    ...(await writer.close()),
    notes: [...source.notes, ...names.notes()],
    warnings: source.warnings,
  };
}

/** Lists all sources of the task. Nothing is decoded: an entry with an id may still be no image. */
export async function indexSources(
  task: IndexTask,
  {signal, emit}: Pick<TaskContext, 'signal' | 'emit'>,
): Promise<TaskResult<'index'>> {
  const count = trackProgress(emit, null);
  const sources: SourceResult[] = [];
  for (const [number, {labelled, listing, known, ...spec}] of task.sources.entries()) {
    const source = await openSource(spec, {labelled, cache: task.cache, ownFolders: task.ownFolders});
    sources.push(await indexSource(source, task, {number, labelled, listing, known, count, signal, emit}));
  }
  return {sources};
}
