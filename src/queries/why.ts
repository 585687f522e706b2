/** What the teacher thought of an image, and why each class selected it or did not. */
import {existsSync} from 'node:fs';
import path from 'node:path';
import {UserError} from '../errors.js';
import type {RunPaths} from '../home.js';
import {toPrintable} from '../images/printable-path.js';
import {readScores} from '../images/score-file.js';
import {hashFile} from '../pipeline/file-hash.js';
import {rowOf} from '../ranking/image-ids.js';
import {takenTopP} from '../ranking/selection-size.js';
import {shardFile} from '../stages/score.js';
import {summaryOf} from '../stages/summaries.js';
import type {Shard} from '../store/shards.js';
import {idInPool, poolIdsWith, poolImagesOf, shardOf} from './pool.js';
import {count} from '../words.js';
import {damagedError, movedOn, requireFiles, requireIntact, type OpenRun} from './open-run.js';

export interface ClassVerdict {
  readonly class: string;
  /** 1: the teacher's best class for it. */
  readonly position: number;
  readonly score: number;
  /** Null beyond the K that are kept. */
  readonly rank: number | null;
  readonly cutoff: number | null;
  readonly selected: boolean;
  readonly reason: string;
}

export interface ImageStory {
  readonly image: string;
  readonly places: readonly string[];
  /** Its P best classes, the best first; none where it was not scored. */
  readonly classes: readonly ClassVerdict[];
  /** Why it was not scored; null where it was. */
  readonly unscored: string | null;
}

/**
 * `given` names an image by its path, its place, its id, or a beginning of that. Throws where there is no such image
 * (exit 2), the selection is out of date (3), or what it rests on was altered (4).
 */
export async function storyOf(run: OpenRun, given: string): Promise<ImageStory> {
  requireIntact(run, 'prepare', 'score', 'select');
  await requireFiles(run, 'prepare', 'index');
  await requireFiles(run, 'score', 'assigned');
  const other = movedOn(run, 'select');
  if (other !== null)
    throw new UserError(
      'STALE_SELECTION',
      `The selection of run ${run.paths.run} is out of date: ${other} has made something else since, and no cut-off is of these scores. Run pupil orchestrate to select anew.`,
    );
  const image = await findImage(run, given);
  const inPool = await poolImagesOf(run, image);
  const places = [...new Set([...run.store.images.placesOf(image), ...inPool.map(({place}) => place)])];
  const shard = await shardOf(run, image);
  const classes = inPool.length > 0 && shard !== null ? await verdicts(run, image, shard) : [];
  return {
    image,
    places,
    classes,
    unscored: classes.length > 0 ? null : unscoredReason(run, image, {places, isInPool: inPool.length > 0}),
  };
}

/** A path (or place), the whole id, or an unambiguous beginning of it. */
async function findImage(run: OpenRun, given: string): Promise<string> {
  const {store, paths} = run;
  // As pupil shows it, or as the file system knows it.
  const places = [given, toPrintable(Buffer.from(given)), toPrintable(Buffer.from(path.resolve(given)))];
  for (const place of places) {
    const placed = store.images.idAt(place);
    if (placed !== null) return placed;
  }
  const listed = await idInPool(run, places);
  if (listed !== null) return listed;
  if (/^[0-9a-f]{2,24}$/.test(given)) {
    const [id, another] = [...new Set([...store.images.idsWithPrefix(given), ...(await poolIdsWith(run, given))])];
    if (another !== undefined)
      throw new UserError(
        'NO_SUCH_IMAGE',
        `More than one image of run ${paths.run} has an id that begins with ${given}. Give more digits.`,
      );
    if (id !== undefined) return id;
  }
  const [first] = places.flatMap(place => store.quarantine.ofPlace(place));
  if (first) throw new UserError('NO_SUCH_IMAGE', `${given} was set aside: ${first.code}, ${first.detail}.`);
  throw new UserError(
    'NO_SUCH_IMAGE',
    `Run ${paths.run} knows no image ${JSON.stringify(given)}. Give its path, its place as pupil rankings shows it, or the beginning of its id.`,
  );
}

async function verdicts({store, config, paths}: OpenRun, id: string, shard: Shard): Promise<ClassVerdict[]> {
  if (shard.rows === null || shard.rows === 0) return [];
  const names = store.images.classes();
  const selection = summaryOf(store, 'select');
  const topP = selection?.topP ?? takenTopP(config.select.top_p, names.length);
  const file = shardFile({paths}, shard.number);
  await requireScores(paths, file, shard);
  const scores = await readScores(file, topP);
  const row = rowOf(scores.ids, id);
  if (row < 0) return [];
  // Of a selection that is under way there may be some already.
  const cutoffs = new Map(
    (selection === null ? [] : store.rankings.summaries()).map(summary => [summary.class, summary]),
  );
  const aside = store.quarantine
    .ofImage(id)
    .map(({code, detail}) => `${code}, ${detail}`)
    .join('; ');
  const ranks = new Map((selection === null ? [] : store.rankings.ofImage(id)).map(ranked => [ranked.class, ranked]));
  return Array.from({length: topP}, (_, index) => {
    const name = names[scores.classes[index]![row]!]!;
    const ranked = ranks.get(name);
    const cutoff = cutoffs.get(name)?.cutoff ?? null;
    const selected = ranked?.selected === 1;
    const reason =
      cutoffs.size === 0
        ? 'not selected yet: the select stage has not finished'
        : selected
          ? `selected: rank ${ranked.rank} of the ${count(cutoffs.get(name)!.selected)} kept`
          : ranked
            ? `not selected: ${aside}`
            : `not selected: below the cut-off of the ${count(cutoffs.get(name)?.selected ?? 0)} best`;
    return {
      class: name,
      position: index + 1,
      score: scores.logProbs[index]![row]!,
      rank: ranked?.rank ?? null,
      cutoff,
      selected,
      reason,
    };
  });
}

/** Throws (exit 4) where a score file is not the one that was written. */
async function requireScores({run, home}: RunPaths, file: string, {sha256}: Shard): Promise<void> {
  const isThere = existsSync(file);
  if (isThere && (await hashFile(file)) === sha256) return;
  throw damagedError(run, {path: path.relative(home, file), kind: isThere ? 'changed' : 'missing'});
}

function unscoredReason(
  {store}: OpenRun,
  id: string,
  {places, isInPool}: {readonly places: readonly string[]; readonly isInPool: boolean},
): string {
  const aside = store.quarantine.ofImage(id);
  if (aside.length > 0) return `Not scored: ${aside.map(row => `${row.code}, ${row.detail}`).join('; ')}.`;
  if (places.length === 0) return 'Not in the pool any more: it lies nowhere.';
  if (isInPool) return 'Not scored yet: the score stage has not come to it.';
  const split = store.images.splitOf(id);
  return split !== null
    ? `Not scored: it is in the ${split === 'train' ? 'labelled training' : split} set, not in the pool.`
    : 'Not scored: it was drawn for no set and is not in the pool.';
}
