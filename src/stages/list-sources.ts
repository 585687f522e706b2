/** Lists the sources of a run: those whose files are as they were stay listed, the others are anew. */
import {hash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {readdir} from 'node:fs/promises';
import {PROTOCOL, type ChildEvent, type TaskOf} from '../children/protocol.js';
import {UserError} from '../errors.js';
import {ownFolders} from '../home.js';
import {digestOfListing, listedImages, type ListedImage} from '../pool/listing-files.js';
import type {SourceListing, SourceRecord} from '../store/images.js';
import {count, plural} from '../words.js';
import type {StageContext} from './context.js';
import {gateFailures} from './failures.js';
import {listingFolder} from './pool-files.js';
import {placeOf, takeRecord, type RunSource} from './sources.js';
import {runWorker} from './tasks.js';

/** A source to list, the folder for what is found, and those of earlier listings of it. */
export interface ToList {
  readonly source: Pick<RunSource, 'role' | 'spec'>;
  readonly listing: string;
  readonly known: readonly string[];
}

/** The worker's task that lists and hashes every image of some sources. */
export const indexTask = (
  {threads, paths, home}: StageContext,
  maxFileBytes: number,
  sources: readonly ToList[],
): TaskOf<'index'> => ({
  protocol: PROTOCOL,
  task: 'index',
  sources: sources.map(({source: {role, spec}, listing, known}) => ({
    ...spec,
    labelled: role !== 'unlabelled',
    listing,
    known: [...known],
  })),
  maxFileBytes,
  readThreads: threads + 2,
  cache: paths.cache,
  ownFolders: ownFolders(home),
});

/** Under which part of prepare the problems of a source are set aside. */
const partOf = (key: number | '%'): string => `source ${key}`;

interface Listing {
  readonly sources: readonly RunSource[];
  readonly maxFileBytes: number;
  /** Packs that may stay, with what they set aside. */
  readonly packs: readonly string[];
}

/** A source of the run, under the key that the database has for it. */
interface Listed {
  readonly source: RunSource;
  readonly key: number;
  readonly listing: SourceListing;
}

/**
 * Lists and hashes every image of every source that is new, or whose files changed, and forgets sources that are no longer
 * given. Returns the classes that the labelled source declares (null where only its labels tell), and the keys of the
 * pool's sources in the order in which they are given. Throws (exit 3, 5) where there is nothing to list, or too much of it cannot be read.
 */
export async function listSources(
  context: StageContext,
  {sources, maxFileBytes, packs}: Listing,
): Promise<{readonly classes: readonly string[] | null; readonly pools: readonly number[]}> {
  const {store, emit} = context;
  const kept = await unchangedSources(context, sources, maxFileBytes);
  store.atomically(() => {
    store.quarantine.keepParts('prepare', [...kept.map(({key}) => partOf(key)), ...packs]);
    store.images.keepSources(kept.map(({key}) => key));
    store.stages.revouch('select', 'chosen', store.chosen.digest());
  });
  for (const {source, listing} of kept) tell(context, source, listing);
  const others = sources.filter(source => !kept.some(one => one.source === source));
  const listed = others.length === 0 ? [] : await listAnew(context, maxFileBytes, others);
  const all = [...kept, ...listed];
  const seen = all.reduce((sum, {listing}) => sum + listing.seen, 0);
  if (seen === 0)
    throw new UserError('POOL_EMPTY', `POOL_EMPTY: no pictures in ${sources.map(source => source.given).join(', ')}.`);
  gateFailures(context, {stage: 'prepare', part: partOf('%'), of: seen});
  if (kept.length > 0 && others.length > 0)
    emit({
      type: 'note',
      stage: 'prepare',
      message: `listed ${others.map(({given}) => given).join(', ')}; the other sources are as they were`,
    });
  const inGivenOrder = sources.map(source => all.find(one => one.source === source)!);
  return {
    classes: all.find(({source}) => source.role === 'labelled')?.listing.classes ?? null,
    pools: inGivenOrder.flatMap(({source, key}) => (source.role === 'unlabelled' ? [key] : [])),
  };
}

/** Sources that the database has a whole listing of, from the same files, of which no row changed since. */
async function unchangedSources(
  context: StageContext,
  sources: readonly RunSource[],
  maxFileBytes: number,
): Promise<Listed[]> {
  const {store} = context;
  const recorded = store.images.sources();
  const unchanged: Listed[] = [];
  for (const source of sources) {
    const record = takeRecord(recorded, source);
    if (record === undefined) continue;
    const {key, root, listing} = record;
    if (
      listing !== null &&
      listing.maxFileBytes === maxFileBytes &&
      root === (await source.open()).root &&
      listing.snapshot === (await source.snapshot()) &&
      listing.digest === (await digestOf(context, record, listing))
    )
      unchanged.push({source, key, listing});
  }
  return unchanged;
}

/** Of what listing a source left, as it is now. */
const digestOf = async (
  {store, paths}: Pick<StageContext, 'store' | 'paths'>,
  {role, key, folder}: SourceRecord,
  {chunks}: SourceListing,
): Promise<string | null> =>
  role !== 'unlabelled'
    ? store.images.sourceDigest(key)
    : folder === null || chunks === undefined
      ? null
      : await digestOfListing(listingFolder(paths, folder), chunks.length);

const tell = ({emit}: StageContext, {given}: RunSource, {warnings}: Pick<SourceListing, 'warnings'>): void => {
  for (const message of warnings) emit({type: 'warning', stage: 'prepare', message: `${given}: ${message}`});
};

/** The listings of one source have a name in common, and a number each. */
function listingName({role, spec}: RunSource): string {
  const {kind, path, split} = spec;
  return `${role}-${hash('sha256', JSON.stringify([kind, path, split]), 'hex').slice(0, 12)}`;
}

/** Those that are there under a name, whole or broken off, and the number of the last. */
async function listingsOf({paths}: StageContext, name: string): Promise<{known: string[]; last: number}> {
  const names = existsSync(paths.listings) ? await readdir(paths.listings) : [];
  const known = names.filter(found => found.startsWith(`${name}-`) && /^\d+$/.test(found.slice(name.length + 1)));
  return {known, last: Math.max(0, ...known.map(found => Number(found.slice(name.length + 1))))};
}

async function listAnew(context: StageContext, maxFileBytes: number, sources: readonly RunSource[]): Promise<Listed[]> {
  const {store, paths, emit} = context;
  const opened: {
    source: RunSource;
    key: number;
    root: string;
    folder: string;
    known: readonly string[];
    unusable: number;
    unreadable: {count: number; first: string};
  }[] = [];
  for (const source of sources) {
    const {root} = await source.open();
    const name = listingName(source);
    const {known, last} = await listingsOf(context, name);
    // The same pool given twice is listed twice.
    const folder = `${name}-${last + 1 + opened.filter(other => other.folder.startsWith(`${name}-`)).length}`;
    const key = store.images.addSource(source.role, source.spec, root, folder);
    opened.push({source, key, root, folder, known, unusable: 0, unreadable: {count: 0, first: ''}});
  }
  const onEvent = (event: ChildEvent) => {
    if (event.type !== 'unusable') return;
    const into = opened[event.source]!;
    const {key, root} = into;
    into.unusable += event.images.length;
    store.atomically(() => {
      for (const {problem, ...lying} of event.images) {
        const place = `${root}/${placeOf(lying)}`;
        if (problem.code === 'UNREADABLE' && into.unreadable.count++ === 0)
          into.unreadable.first = `${place}: ${problem.detail}`;
        store.quarantine.add('prepare', partOf(key), {image: null, place, ...problem});
      }
    });
  };
  const toList = opened.map(({source, folder, known}) => ({
    source,
    listing: listingFolder(paths, folder),
    known: known.map(name => listingFolder(paths, name)),
  }));
  const result = await runWorker(context, indexTask(context, maxFileBytes, toList), {
    stage: 'prepare',
    part: 'listing images',
    onEvent,
  });
  const listed: Listed[] = [];
  for (const [position, {source, key, root, folder, unusable, unreadable}] of opened.entries()) {
    const {classes, images, chunks, digest, notes, warnings} = result.sources[position]!;
    const seen = images + unusable;
    for (const message of notes) emit({type: 'note', stage: 'prepare', message: `${source.given}: ${message}`});
    tell(context, source, {warnings});
    if (seen > 0 && unreadable.count === seen)
      throw new UserError(
        'UNREADABLE_FILES',
        `None of ${plural(seen, 'file')} in ${root} can be read; the first is ${unreadable.first}. Check the permissions, and that the disk is there.`,
      );
    const isPool = source.role === 'unlabelled';
    if (!isPool) await takeLabelled(context, key, folder, chunks.length);
    const listing: SourceListing = {
      snapshot: await source.snapshot(),
      digest: isPool ? digest : store.images.sourceDigest(key),
      maxFileBytes,
      seen,
      classes,
      warnings,
      chunks,
    };
    store.images.setListing(key, listing);
    listed.push({source, key, listing});
  }
  return listed;
}

/** Rows that are written in one transaction. */
const ROWS_AT_ONCE = 1000;

/** What is labelled is kept in rows, by which it is drawn. */
async function takeLabelled({store, paths}: StageContext, key: number, folder: string, chunks: number): Promise<void> {
  let waiting: ListedImage[] = [];
  const write = () => {
    store.atomically(() => waiting.forEach(image => store.images.addListed(key, image)));
    waiting = [];
  };
  for await (const image of listedImages(listingFolder(paths, folder), chunks)) {
    waiting.push(image);
    if (waiting.length === ROWS_AT_ONCE) write();
  }
  write();
}

/** "1,000 pictures joined the pool, 3 pictures left it; 40,000 stay"; null where it is the first, or the same. */
export function poolChangeWords({store}: Pick<StageContext, 'store'>): string | null {
  const {added, stayed, left} = store.pool.change();
  if (stayed + left === 0 || added + left === 0) return null;
  const joined = `${plural(added, 'picture')} joined the pool`;
  const gone = `${plural(left, 'picture')} left ${added > 0 ? 'it' : 'the pool'}`;
  const parts = [...(added > 0 ? [joined] : []), ...(left > 0 ? [gone] : [])];
  return `${parts.join(', ')}; ${count(stayed)} stay`;
}
