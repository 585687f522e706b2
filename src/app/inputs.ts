/** Guards a run against other data under its name: tells whether its inputs changed, and how. */
import {rm} from 'node:fs/promises';
import {runChild} from '../children/child.js';
import type {IndexEntry} from '../children/protocol.js';
import {workerCommand} from '../children/worker.js';
import type {Ingredients} from '../pipeline/stage.js';
import {temporaryFolder} from '../files/temporary.js';
import {count} from '../words.js';
import type {ListedImage} from '../store/images.js';
import type {RunContext} from '../stages/context.js';
import {indexTask, prepare} from '../stages/prepare.js';
import {placeOf} from '../stages/sources.js';

/** Ingredients of prepare that name sources and their files; the others are settings, which may change. */
const isSource = (name: string): boolean => /^(labelled|validation|test|unlabelled\[\d+\])$/.test(name);
const isFiles = (name: string): boolean => name.startsWith('files of ');

const DIFFERENCES_SHOWN = 8;

/**
 * What is different about the inputs of a run that was prepared before, in words; null where they are the same. Files
 * that were only touched or copied are looked into, found the same, and with `trustAnew` trusted by their new times.
 */
export async function changedInputs(
  context: RunContext,
  {trustAnew}: {readonly trustAnew: boolean},
): Promise<string | null> {
  const record = context.store.stages.read('prepare');
  const recorded = record?.ingredients ?? null;
  if (recorded === null) return null;
  const now = await prepare.ingredients(context);
  // A record that was altered is no ground to refuse anything by; what was listed still tells whether the files are the
  // same.
  const isWhole = record?.isIntact === true;
  if (isWhole) {
    const names = [...new Set([...Object.keys(recorded), ...Object.keys(now)])];
    if (names.some(name => isSource(name) && recorded[name] !== now[name]))
      return sourceDifferences(recorded, now).join('\n  ');
    if (!names.some(name => isFiles(name) && recorded[name] !== now[name])) return null;
  }
  const differences = await differingFiles(context);
  if (differences.length > 0) {
    return (
      differences.slice(0, DIFFERENCES_SHOWN).join('\n  ') +
      (differences.length > DIFFERENCES_SHOWN ? `\n  and ${count(differences.length - DIFFERENCES_SHOWN)} more` : '')
    );
  }
  if (trustAnew && isWhole) context.store.stages.setIngredients('prepare', {...recorded, ...onlyFiles(now)});
  return null;
}

/**
 * A line for each set that has other sources. Pools are told by what they are: their numbers also move where a set
 * before them came or went.
 */
function sourceDifferences(recorded: Ingredients, now: Ingredients): string[] {
  const quoted = (source: string): string => (/^[\w./:@+-]+$/.test(source) ? source : `'${source}'`);
  const sets = (['labelled', 'validation', 'test'] as const).flatMap(role => {
    const [before, after] = [recorded[role], now[role]];
    if (before === after) return [];
    if (after === undefined) return [`${role}: was ${before}, and is not given now: add --${role} ${quoted(before!)}`];
    return [`${role}: was ${before ?? 'not given'}, is ${after}`];
  });
  const poolsOf = (ingredients: Ingredients): string[] =>
    Object.entries(ingredients).flatMap(([name, source]) =>
      isSource(name) && name.startsWith('unlabelled') ? [source] : [],
    );
  const [before, after] = [poolsOf(recorded), poolsOf(now)];
  const lacking = before
    .filter(source => !after.includes(source))
    .map(source => `unlabelled: ${source} is not given now: add --unlabelled ${quoted(source)}`);
  const added = after.filter(source => !before.includes(source)).map(source => `unlabelled: ${source} was not given`);
  const reordered =
    lacking.length + added.length === 0 && before.join('\n') !== after.join('\n')
      ? [`unlabelled: was ${before.join(', ')}, is ${after.join(', ')}`]
      : [];
  return [...sets, ...lacking, ...added, ...reordered];
}

const onlyFiles = (ingredients: Ingredients): Ingredients =>
  Object.fromEntries(Object.entries(ingredients).filter(([name]) => isFiles(name)));

/** Lists and hashes every source again and compares it with what the run was prepared from. */
async function differingFiles(context: RunContext): Promise<string[]> {
  const {store, threads, stop} = context;
  const roots = store.images.sources();
  const before = roots.map(source => placesOf(store.images.listed(source.key)));
  const gone = before.map(places => new Set(places.keys()));
  const differences: string[] = [];
  const compare = (position: number, entry: IndexEntry) => {
    const place = placeOf(entry);
    const known = before[position]?.get(place);
    // What could not be read before and cannot be read now is no difference.
    if (entry.id === null) return;
    gone[position]?.delete(place);
    const labels = known?.get(entry.id);
    const difference =
      known === undefined
        ? 'is new'
        : labels === undefined
          ? 'has other contents'
          : labels.has(entry.label)
            ? null
            : `has another label (${entry.label})`;
    if (difference !== null) differences.push(`${roots[position]?.root}/${place} ${difference}`);
  };
  // Not in the run's own folders: nothing of it may change before the change is accepted.
  const attempt = temporaryFolder('inputs');
  try {
    await runChild<'index'>(workerCommand({threads, device: 'cpu', python: null}), indexTask(context), {
      attempt,
      stop,
      onEvent: event => event.type === 'indexed' && event.entries.forEach(entry => compare(event.source, entry)),
    });
  } finally {
    await rm(attempt, {recursive: true, force: true});
  }
  gone.forEach((places, position) => {
    for (const place of places) differences.push(`${roots[position]?.root}/${place} is gone`);
  });
  return differences;
}

/**
 * The labels of each image that lay at a place. A list may name a file twice, even under two labels, and a tar hold two
 * members of one name.
 */
function placesOf(listed: Iterable<ListedImage>): Map<string, Map<string, Set<string | null>>> {
  const places = new Map<string, Map<string, Set<string | null>>>();
  for (const {id, label, ...lying} of listed) {
    const place = placeOf(lying);
    const images = places.get(place) ?? new Map<string, Set<string | null>>();
    places.set(place, images.set(id, (images.get(id) ?? new Set()).add(label)));
  }
  return places;
}
