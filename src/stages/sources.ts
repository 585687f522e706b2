/**
 * The sources a run reads: recognised from its config, and a snapshot by which a later run notices that their files
 * changed.
 */
import path from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import type {SourceSpec} from '../children/protocol.js';
import type {Config} from '../config/schema.js';
import {UserError} from '../errors.js';
import {ownFolders, type RunPaths} from '../home.js';
import {NO_STAMP} from '../images/file-stamps.js';
import {lookAtFiles} from '../images/file-threads.js';
import {openSource, parseSource, type Source} from '../images/source.js';
import type {Role, SourceRecord} from '../store/images.js';
import type {Store} from '../store/open.js';
import {plural} from '../words.js';

export interface RunSource {
  readonly role: Role;
  /** As the config gives it. */
  readonly given: string;
  readonly spec: SourceSpec;
  readonly open: () => Promise<Source>;
  /**
   * A digest of the names, sizes and times of all its files, taken once a command: a pool may have millions of them.
   * Nothing is opened; the change time tells of a write that put the size and the modification time back.
   */
  readonly snapshot: () => Promise<string>;
}

/** What `unlabelled` calls the pictures that the labelled draw left over. */
export const REST = 'rest';

/** Recognises every source of a config. Throws a UserError for one that is not there or is no source of pictures. */
export async function recogniseSources(
  config: Config,
  {home, cache}: Pick<RunPaths, 'home' | 'cache'>,
  signal: AbortSignal,
): Promise<RunSource[]> {
  const given: [Role, string | null][] = [
    ['labelled', config.labelled.source],
    ['validation', config.validation.source],
    ['test', config.test],
    ...config.unlabelled.filter(source => source !== REST).map((source): [Role, string] => ['unlabelled', source]),
  ];
  const sources: RunSource[] = [];
  for (const [role, source] of given) {
    if (source === null) continue;
    const spec = await parseSource(source, process.cwd());
    let snapshot: Promise<string> | undefined;
    const open = () => openSource(spec, {labelled: role !== 'unlabelled', cache, ownFolders: ownFolders(home)});
    if (role !== 'unlabelled' && spec.kind === 'folder') await refuseWithoutClasses(role, source, await open(), signal);
    const twin = sources.find(other => exclusive(role, other.role) && isDeepStrictEqual(other.spec, spec));
    if (twin)
      throw new UserError(
        'BAD_SOURCE',
        `The ${twin.role} and the ${role} pictures are the same: ${source}. What is learned from must not be measured on: give other pictures for one of the two.`,
      );
    sources.push({
      role,
      given: source,
      spec,
      open,
      snapshot: () => (snapshot ??= open().then(opened => snapshotOf(opened, signal))),
    });
  }
  return sources;
}

/**
 * Takes the record of a source out of those that the database has; undefined where it has none. A pool that is given
 * twice is two sources.
 */
export function takeRecord(
  recorded: SourceRecord[],
  {role, spec}: Pick<RunSource, 'role' | 'spec'>,
): SourceRecord | undefined {
  const at = recorded.findIndex(source => source.role === role && isDeepStrictEqual(source.spec, spec));
  return at === -1 ? undefined : recorded.splice(at, 1)[0];
}

/**
 * Tells the database where the sources lie: what they are unpacked to lies in the run's own folder, and may have moved,
 * or have been told by another run.
 */
export async function settleRoots({
  sources,
  store,
}: {
  readonly sources: readonly RunSource[];
  readonly store: Store;
}): Promise<void> {
  const recorded = store.images.sources();
  for (const source of sources) {
    const {root} = await source.open();
    const before = takeRecord(recorded, source);
    if (before === undefined || before.root === root) continue;
    store.atomically(() => {
      store.images.moveRoot(before.root, root);
      store.quarantine.moveRoot(before.root, root);
    });
  }
}

/** "folder:/birds/train", "cifar100:/data?split=test": as it can be given, too. */
export const specWords = ({kind, path, split}: SourceSpec): string =>
  `${kind}:${path}${split === null ? '' : `?split=${split}`}`;

const NOTES_SHOWN = 3;

/** Two sets of which one picture may only be in one; the pool may hold what is labelled, too. */
const exclusive = (one: Role, other: Role): boolean =>
  one !== other && ![one, other].every(role => role === 'labelled' || role === 'unlabelled');

/** A folder of pictures, in the place of one of class folders, tells no class. Throws (exit 3). */
async function refuseWithoutClasses(role: Role, given: string, source: Source, signal: AbortSignal): Promise<void> {
  const classes = await source.classes();
  if (classes === null || classes.length > 0) return;
  let [first, files] = ['', 0];
  for await (const lot of source.entries(signal)) {
    for (const {file} of lot) {
      // Folders are listed in no certain order.
      if (files++ === 0 || file < first) first = file;
    }
  }
  const {notes} = source;
  const leftOut =
    notes.length === 0
      ? 'it is empty'
      : notes.slice(0, NOTES_SHOWN).join('; ') +
        (notes.length > NOTES_SHOWN ? `; and ${notes.length - NOTES_SHOWN} more` : '');
  const found =
    files === 0
      ? leftOut
      : `${files === 1 ? first : `${plural(files, 'file')} (such as ${first})`} ${files === 1 ? 'lies' : 'lie'} in it, and no folder`;
  throw new UserError(
    'BAD_CLASSES',
    `No ${role} pictures in ${given}: ${found}. Expected one folder a class, named for it, with the pictures inside: ${path.join(given, 'cat/1.jpg')}, ${path.join(given, 'dog/7.jpg')}. A list (.csv) with the columns path and label does as well.`,
  );
}

/** Where an image lies in its source: the place that people see, less the source's root. */
export const placeOf = ({file, member}: {readonly file: string; readonly member: string | null}): string =>
  member === null ? file : `${file}#${member}`;

async function snapshotOf(source: Source, signal: AbortSignal): Promise<string> {
  // Folders are listed in no certain order, so the files' stamps are summed, as integers.
  let sum = 0n;
  let files = 0;
  for await (const {stamps} of lookAtFiles(source.files(signal), signal)) {
    for (const stamp of stamps) {
      sum = BigInt.asUintN(64, sum + stamp);
      if (stamp !== NO_STAMP) files++;
    }
  }
  return `${files} files ${sum.toString(16).padStart(16, '0')}`;
}
