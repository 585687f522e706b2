/** `pupil rankings`: what each class got, or one class's images in order. */
import {UserError} from '../errors.js';
import type {SelectionCounts} from '../events.js';
import {printable, printableJson} from '../printable.js';
import {openRun, type OpenRun, type RunName} from '../queries/open-run.js';
import {rankedClasses, rankedImages, selectionOf, type RankedImage} from '../queries/rankings.js';
import {csv} from '../report/csv.js';
import {table} from '../report/table.js';
import {count} from '../words.js';
import {tellOtherRounds} from './other-rounds.js';

export interface RankingsFlags extends RunName {
  readonly class?: string | undefined;
  readonly limit: number;
  readonly offset: number;
  readonly csv: boolean;
  readonly json: boolean;
}

export function rankings(flags: RankingsFlags): void {
  if (flags.csv && flags.json) throw new UserError('BAD_ARGUMENTS', 'Give --csv or --json, not both.');
  const run = openRun(flags);
  try {
    const {counts, movedOn} = selectionOf(run);
    process.stdout.write(rankingsText(run, counts, flags));
    if (movedOn !== null)
      process.stderr.write(
        `This selection is out of date: ${movedOn} has made something else since. Run pupil orchestrate to select anew.\n`,
      );
    if (!flags.csv && !flags.json) tellOtherRounds(run.paths);
  } finally {
    run.store.close();
  }
}

/** What the command prints of a selection. */
export const rankingsText = (run: OpenRun, selection: Pick<SelectionCounts, 'topK'>, flags: RankingsFlags): string =>
  flags.class === undefined ? allClasses(run, selection, flags) : oneClass(run, flags.class, flags);

const score = (value: number | null): string => (value === null ? '' : value.toFixed(5));

function allClasses(
  {paths, store}: OpenRun,
  selection: Pick<SelectionCounts, 'topK'>,
  {json, csv: asCsv}: RankingsFlags,
): string {
  const classes = rankedClasses(store, selection);
  if (json) return `${printableJson({run: paths.run, classes})}\n`;
  if (asCsv)
    return csv([
      ['class', 'candidates', 'selected', 'cutoff', 'short'],
      ...classes.map(row => [row.class, row.candidates, row.selected, row.cutoff ?? '', row.short ? 1 : 0]),
    ]);
  const rows = classes.map(row => [
    row.class,
    count(row.candidates),
    count(row.selected),
    score(row.cutoff),
    row.short ? `short of K = ${count(selection.topK)}` : '',
  ]);
  return `${table(['class', 'candidates', 'selected', 'cut-off', ''], rows, {align: ['left', 'right', 'right', 'right']})}\n`;
}

function oneClass({store, paths}: OpenRun, given: string, flags: RankingsFlags): string {
  const {rows, ...summary} = rankedImages(store, given, flags);
  if (flags.json) return `${printableJson({run: paths.run, ...summary, rows})}\n`;
  const also = (row: RankedImage) => row.also.map(other => `${other.class} #${other.rank}`).join(', ');
  if (flags.csv)
    return csv([
      ['rank', 'score', 'image', 'place', 'selected', 'also'],
      ...rows.map(row => [row.rank, row.score, row.image, row.place, row.selected ? 1 : 0, also(row)]),
    ]);
  const head = `${printable(summary.class)}: ${count(summary.candidates)} candidates, ${count(summary.selected)} selected, cut-off ${score(summary.cutoff)}\n`;
  const listed = rows.map(row => [
    String(row.rank),
    score(row.score),
    row.image.slice(0, 12),
    row.place,
    row.selected ? also(row) : 'left out: LEAK',
  ]);
  return (
    head + `${table(['rank', 'score', 'image', 'place', 'also selected for'], listed, {align: ['right', 'right']})}\n`
  );
}
