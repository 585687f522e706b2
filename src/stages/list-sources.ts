/** Lists the sources of a run into its database: those whose files are as they were stay listed, the others are anew. */
import {PROTOCOL, type ChildEvent, type TaskOf} from '../children/protocol.js';
import {UserError} from '../errors.js';
import {ownFolders} from '../home.js';
import type {SourceListing} from '../store/images.js';
import {count, plural} from '../words.js';
import type {StageContext} from './context.js';
import {gateFailures} from './failures.js';
import {placeOf, takeRecord, type RunSource} from './sources.js';
import {runWorker} from './tasks.js';

/** The worker's task that lists and hashes every image of some sources. */
export const indexTask = (
  {threads, paths, home}: StageContext,
  maxFileBytes: number,
  sources: readonly RunSource[],
): TaskOf<'index'> => ({
  protocol: PROTOCOL,
  task: 'index',
  sources: sources.map(({role, spec}) => ({...spec, labelled: role !== 'unlabelled'})),
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
 * Lists and hashes every image of every source that is new, or whose files changed, into the database, and forgets
 * sources that are no longer given. Returns the classes that the labelled source declares; null where only its labels tell. Throws (exit 3, 5) where there is nothing to list,
 * or too much of it cannot be read.
 */
export async function listSources(
  context: StageContext,
  {sources, maxFileBytes, packs}: Listing,
): Promise<readonly string[] | null> {
  const {store, emit} = context;
  const kept = await unchangedSources(context, sources);
  store.atomically(() => {
    store.quarantine.keepParts('prepare', [...kept.map(({key}) => partOf(key)), ...packs]);
    store.images.keepSources(kept.map(({key}) => key));
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
  return all.find(({source}) => source.role === 'labelled')?.listing.classes ?? null;
}

/** Sources that the database has a whole listing of, from the same files, of which no row changed since. */
async function unchangedSources({store}: StageContext, sources: readonly RunSource[]): Promise<Listed[]> {
  const recorded = store.images.sources();
  const unchanged: Listed[] = [];
  for (const source of sources) {
    const record = takeRecord(recorded, source);
    if (record === undefined) continue;
    const {key, root, listing} = record;
    if (
      listing !== null &&
      root === (await source.open()).root &&
      listing.snapshot === (await source.snapshot()) &&
      listing.digest === store.images.sourceDigest(key)
    )
      unchanged.push({source, key, listing});
  }
  return unchanged;
}

const tell = ({emit}: StageContext, {given}: RunSource, {warnings}: Pick<SourceListing, 'warnings'>): void => {
  for (const message of warnings) emit({type: 'warning', stage: 'prepare', message: `${given}: ${message}`});
};

async function listAnew(context: StageContext, maxFileBytes: number, sources: readonly RunSource[]): Promise<Listed[]> {
  const {store, emit} = context;
  const opened: {
    source: RunSource;
    key: number;
    root: string;
    seen: number;
    unreadable: {count: number; first: string};
  }[] = [];
  for (const source of sources) {
    const {root} = await source.open();
    opened.push({
      source,
      key: store.images.addSource(source.role, source.spec, root),
      root,
      seen: 0,
      unreadable: {count: 0, first: ''},
    });
  }
  const onEvent = (event: ChildEvent) => {
    if (event.type !== 'indexed') return;
    const into = opened[event.source]!;
    const {source, key, root} = into;
    into.seen += event.entries.length;
    store.atomically(() => {
      for (const entry of event.entries) {
        const unlabelled = source.role !== 'unlabelled' && entry.label === null;
        const problem =
          entry.problem ??
          (unlabelled
            ? {code: 'NO_LABEL', detail: `in the ${source.role} set, but no class folder or label tells its class`}
            : null);
        if (problem === null) store.images.addEntry(key, entry);
        else {
          const place = `${root}/${placeOf(entry)}`;
          if (problem.code === 'UNREADABLE' && into.unreadable.count++ === 0)
            into.unreadable.first = `${place}: ${problem.detail}`;
          const {code, detail} = problem;
          store.quarantine.add('prepare', partOf(key), {image: entry.id, place, code, detail});
        }
      }
    });
  };
  const result = await runWorker(context, indexTask(context, maxFileBytes, sources), {
    stage: 'prepare',
    part: 'listing images',
    onEvent,
  });
  const listed: Listed[] = [];
  for (const [position, {source, key, root, seen, unreadable}] of opened.entries()) {
    const {classes, notes, warnings} = result.sources[position]!;
    for (const message of notes) emit({type: 'note', stage: 'prepare', message: `${source.given}: ${message}`});
    tell(context, source, {warnings});
    if (seen > 0 && unreadable.count === seen)
      throw new UserError(
        'UNREADABLE_FILES',
        `None of ${plural(seen, 'file')} in ${root} can be read; the first is ${unreadable.first}. Check the permissions, and that the disk is there.`,
      );
    const listing = {
      snapshot: await source.snapshot(),
      digest: store.images.sourceDigest(key),
      seen,
      classes,
      warnings,
    };
    store.images.setListing(key, listing);
    listed.push({source, key, listing});
  }
  return listed;
}

/** "1,000 pictures joined the pool, 3 pictures left it; 40,000 stay"; null where it is the first, or the same. */
export function poolChangeWords({store}: Pick<StageContext, 'store'>): string | null {
  const {added, stayed, left} = store.images.poolChange();
  if (stayed + left === 0 || added + left === 0) return null;
  const joined = `${plural(added, 'picture')} joined the pool`;
  const gone = `${plural(left, 'picture')} left ${added > 0 ? 'it' : 'the pool'}`;
  const parts = [...(added > 0 ? [joined] : []), ...(left > 0 ? [gone] : [])];
  return `${parts.join(', ')}; ${count(stayed)} stay`;
}
