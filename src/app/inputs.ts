/**
 * Guards what a run reported: tells where pictures that its figures rest on changed unasked, or are those of something
 * else. Pools may grow and shrink, and labels be mended, as they will.
 */
import {rm} from 'node:fs/promises';
import path from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import {stageNames} from '../events.js';
import {temporaryFolder} from '../files/temporary.js';
import {decodingOf, type RunContext} from '../stages/context.js';
import {indexTask} from '../stages/list-sources.js';
import {placeOf, specWords, type RunSource} from '../stages/sources.js';
import {executorOf} from '../stages/tasks.js';
import {listedImages} from '../pool/listing-files.js';
import type {LabelledPlace, SourceRecord} from '../store/images.js';
import {count, plural} from '../words.js';

const DIFFERENCES_SHOWN = 8;
/** A labelled set of which less than this share is left is another one under the name of the first. */
const LEAST_LEFT = 0.5;

/**
 * What is different about pictures that figures of the run rest on, in words; null where nothing is, or where no figure
 * was made yet. A held-out set that changed where it lies, or is not given any more, would change figures unsaid; one
 * that is given anew changes them as asked. Of the labelled set most must be the same: another one is another run.
 */
export async function changedInputs(context: RunContext): Promise<string | null> {
  const {store, sources} = context;
  const madeFigures = stageNames.some(name => name !== 'prepare' && isDone(store.stages.read(name)?.status));
  if (!madeFigures) return null;
  const recorded = store.images.sources().filter(({listing}) => listing !== null);
  const lines: string[] = [];
  const toCompare: {source: RunSource; before: SourceRecord}[] = [];
  for (const role of ['labelled', 'validation', 'test'] as const) {
    const before = recorded.find(source => source.role === role);
    if (before === undefined) continue;
    const source = sources.find(source => source.role === role);
    if (source === undefined)
      lines.push(
        `${role}: was ${specWords(before.spec)}, and is not given now: add --${role} ${quoted(specWords(before.spec))}`,
      );
    else {
      const isSame = isDeepStrictEqual(source.spec, before.spec);
      if (isSame && (await source.snapshot()) === before.listing?.snapshot) continue;
      if (isSame || role === 'labelled') toCompare.push({source, before});
    }
  }
  const found = await listAgain(
    context,
    toCompare.map(({source}) => source),
  );
  for (const [position, {source, before}] of toCompare.entries()) {
    const listed = found[position]!;
    if (source.role === 'labelled') {
      const known = new Set([...store.images.listed(before.key)].map(({id}) => id));
      const left = new Set(listed.flatMap(({id}) => (known.has(id) ? [id] : [])));
      if (left.size < LEAST_LEFT * known.size)
        lines.push(
          `labelled: of the ${plural(known.size, 'picture')} in ${specWords(before.spec)} ${left.size === 0 ? 'none is' : `only ${count(left.size)} are`} in ${specWords(source.spec)}`,
        );
    } else lines.push(...differences(store.images.listed(before.key), listed, before.root));
  }
  if (lines.length === 0) return null;
  return (
    lines.slice(0, DIFFERENCES_SHOWN).join('\n  ') +
    (lines.length > DIFFERENCES_SHOWN ? `\n  and ${count(lines.length - DIFFERENCES_SHOWN)} more` : '')
  );
}

const isDone = (status: string | undefined): boolean => status === 'done' || status === 'skipped';

const quoted = (source: string): string => (/^[\w./:@+-]+$/.test(source) ? source : `'${source}'`);

/** Lists and hashes sources again, without a word of it in the run: nothing of it may change before that is accepted. */
async function listAgain(context: RunContext, sources: readonly RunSource[]): Promise<LabelledPlace[][]> {
  const found: LabelledPlace[][] = sources.map(() => []);
  if (sources.length === 0) return found;
  const attempt = temporaryFolder('inputs');
  try {
    const {threads, python, stop} = context;
    const toList = sources.map((source, position) => ({
      source,
      listing: path.join(attempt, `listing-${position}`),
      known: [],
    }));
    const listed = await executorOf(context).run<'index'>(
      {name: 'worker', threads, device: 'cpu', python},
      indexTask(context, decodingOf(context).maxFileBytes, toList),
      {attempt, stop, onEvent: () => {}},
    );
    for (const [position, {listing}] of toList.entries())
      for await (const image of listedImages(listing, listed.sources[position]!.chunks.length))
        found[position]!.push(image);
  } finally {
    await rm(attempt, {recursive: true, force: true});
  }
  return found;
}

/**
 * A line for each picture that a held-out set did not have under that label, or has no more. Where it lies in the set is
 * no matter; what could not be read before and cannot be read now is no difference.
 */
function differences(before: Iterable<LabelledPlace>, now: readonly LabelledPlace[], root: string): string[] {
  const known = new Map<string, {labels: Set<string | null>; place: string}>();
  const places = new Set<string>();
  for (const {id, label, ...lying} of before) {
    const place = placeOf(lying);
    places.add(place);
    known.set(id, {labels: (known.get(id)?.labels ?? new Set()).add(label), place});
  }
  const gone = new Map([...known].map(([id, {place}]) => [id, place]));
  const lines: string[] = [];
  const overwritten = new Set<string>();
  for (const {id, label, ...lying} of now) {
    gone.delete(id);
    const place = placeOf(lying);
    const labels = known.get(id)?.labels;
    if (labels?.has(label)) continue;
    if (labels !== undefined) lines.push(`${root}/${place} has another label (${label})`);
    else if (places.has(place)) {
      overwritten.add(place);
      lines.push(`${root}/${place} has other contents`);
    } else lines.push(`${root}/${place} is new`);
  }
  for (const place of gone.values()) if (!overwritten.has(place)) lines.push(`${root}/${place} is gone`);
  return lines;
}
