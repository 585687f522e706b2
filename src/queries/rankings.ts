/** What each class got of a selection, and the images of one class in order. */
import {didYouMean} from '../did-you-mean.js';
import {UserError} from '../errors.js';
import type {SelectionCounts} from '../events.js';
import {summaryOf} from '../stages/summaries.js';
import type {Store} from '../store/open.js';
import type {ClassSummary, RankingRow} from '../store/rankings.js';
import {movedOn, requireIntact, type OpenRun} from './open-run.js';

export interface RankedClass extends ClassSummary {
  /** Whether it kept fewer than K. */
  readonly short: boolean;
}

export interface RankedImage extends Omit<RankingRow, 'selected'> {
  /** Not where it was left out although its score was good enough: see `why`. */
  readonly selected: boolean;
  /** The other classes that ranked it, and where. */
  readonly also: readonly {readonly class: string; readonly rank: number}[];
}

export interface ClassRanking extends ClassSummary {
  readonly rows: readonly RankedImage[];
}

export interface StandingSelection {
  readonly counts: SelectionCounts;
  /** The stage that has made something else since, and with it another selection; null where it stands. */
  readonly movedOn: string | null;
}

/**
 * The selection that the rankings are of. Throws where there is none yet (exit 3), or its rows were altered (exit 4).
 */
export function selectionOf(run: OpenRun): StandingSelection {
  requireIntact(run, 'select');
  const counts = summaryOf(run.store, 'select');
  if (counts === null)
    throw new UserError(
      'NO_RESULT_YET',
      `Run ${run.paths.run} has no rankings yet: its select stage has not finished. Run pupil orchestrate.`,
    );
  return {counts, movedOn: movedOn(run, 'select')};
}

export const rankedClasses = ({rankings}: Store, {topK}: Pick<SelectionCounts, 'topK'>): RankedClass[] =>
  rankings.summaries().map(summary => ({...summary, short: summary.selected < topK}));

/** The best of one class from the place `offset` on (0: the first). Throws (exit 2) where there is no such class. */
export function rankedImages(
  {rankings}: Store,
  given: string,
  {limit, offset}: {readonly limit: number; readonly offset: number},
): ClassRanking {
  const summaries = rankings.summaries();
  const summary = summaries.find(candidate => candidate.class === given || candidate.class === given.normalize('NFC'));
  if (!summary) {
    const names = summaries.map(candidate => candidate.class);
    throw new UserError(
      'NO_SUCH_CLASS',
      `There is no class ${JSON.stringify(given)}.${didYouMean(given, names)} See all ${names.length} with pupil rankings.`,
    );
  }
  const rows = rankings.rows(summary.class, limit, offset).map((row): RankedImage => ({
    ...row,
    selected: row.selected === 1,
    also: rankings
      .ofImage(row.image)
      .filter(other => other.class !== summary.class)
      .map(({class: other, rank}) => ({class: other, rank})),
  }));
  return {...summary, rows};
}
