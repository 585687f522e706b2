/** `pupil rankings`: what each class got, or one class's images in order. */
import {didYouMean} from '../did-you-mean.js';
import {dataError, usageError} from '../errors.js';
import type {SelectionCounts} from '../events.js';
import {printable, printableJson} from '../printable.js';
import {csv} from '../report/csv.js';
import {table} from '../report/table.js';
import {recordedSelection} from '../stages/select.js';
import type {ClassSummary, RankingRow} from '../store/rankings.js';
import {count} from '../words.js';
import {movedOn, openRun, requireIntact, tellOtherRounds, type OpenRun, type RunFlags} from '../queries/find-run.js';

export interface RankingsFlags extends RunFlags {
  readonly class?: string | undefined;
  readonly limit: number;
  readonly offset: number;
  readonly csv: boolean;
  readonly json: boolean;
}

export function rankings(flags: RankingsFlags): void {
  if (flags.csv && flags.json) throw usageError('Give --csv or --json, not both.');
  const run = openRun(flags);
  try {
    requireIntact(run, 'select');
    const selection = recordedSelection(run.store);
    if (selection === null) throw dataError(`Run ${run.paths.run} has no rankings yet: its select stage has not finished. Run pupil orchestrate.`);
    process.stdout.write(rankingsText(run, selection, flags));
    const other = movedOn(run, 'select');
    if (other !== null) process.stderr.write(`This selection is out of date: ${other} has made something else since. Run pupil orchestrate to select anew.\n`);
    if (!flags.csv && !flags.json) tellOtherRounds(run.paths);
  } finally {
    run.store.close();
  }
}

/** What the command prints of a selection. */
export function rankingsText(run: OpenRun, selection: Pick<SelectionCounts, 'topK'>, flags: RankingsFlags): string {
  const summaries = run.store.rankings.summaries();
  return flags.class === undefined ? allClasses(run, summaries, selection, flags) : oneClass(run, summaries, flags.class, flags);
}

const score = (value: number | null): string => (value === null ? '' : value.toFixed(5));

function allClasses({paths}: OpenRun, summaries: readonly ClassSummary[], {topK}: Pick<SelectionCounts, 'topK'>, flags: RankingsFlags): string {
  const classes = summaries.map(summary => ({...summary, short: summary.selected < topK}));
  if (flags.json) return `${printableJson({run: paths.run, classes})}\n`;
  if (flags.csv) return csv([['class', 'candidates', 'selected', 'cutoff', 'short'], ...classes.map(row => [row.class, row.candidates, row.selected, row.cutoff ?? '', row.short ? 1 : 0])]);
  const rows = classes.map(row => [row.class, count(row.candidates), count(row.selected), score(row.cutoff), row.short ? `short of K = ${count(topK)}` : '']);
  return `${table(['class', 'candidates', 'selected', 'cut-off', ''], rows, {align: ['left', 'right', 'right', 'right']})}\n`;
}

interface FullRow extends Omit<RankingRow, 'selected'> {
  readonly selected: boolean;
  readonly also: {readonly class: string; readonly rank: number}[];
}

function oneClass({store, paths}: OpenRun, summaries: readonly ClassSummary[], given: string, flags: RankingsFlags): string {
  const summary = summaries.find(candidate => candidate.class === given || candidate.class === given.normalize('NFC'));
  if (!summary) {
    const names = summaries.map(candidate => candidate.class);
    throw usageError(`There is no class ${JSON.stringify(given)}.${didYouMean(given, names)} See all ${names.length} with pupil rankings.`);
  }
  const {class: name} = summary;
  const rows: FullRow[] = store.rankings.rows(name, flags.limit, flags.offset).map(row => ({
    ...row,
    selected: row.selected === 1,
    also: store.rankings.ofImage(row.image).filter(other => other.class !== name).map(({class: other, rank}) => ({class: other, rank})),
  }));
  if (flags.json) {
    const {candidates, selected, cutoff} = summary;
    const listed = rows.map(({rank, score, image, place, selected, also}) => ({rank, score, image, place, selected, also}));
    return `${printableJson({run: paths.run, class: name, candidates, selected, cutoff, rows: listed})}\n`;
  }
  const also = (row: FullRow) => row.also.map(other => `${other.class} #${other.rank}`).join(', ');
  if (flags.csv) return csv([['rank', 'score', 'image', 'place', 'selected', 'also'], ...rows.map(row => [row.rank, row.score, row.image, row.place, row.selected ? 1 : 0, also(row)])]);
  const head = `${printable(name)}: ${count(summary.candidates)} candidates, ${count(summary.selected)} selected, cut-off ${score(summary.cutoff)}\n`;
  const listed = rows.map(row => [String(row.rank), score(row.score), row.image.slice(0, 12), row.place, row.selected ? also(row) : 'left out: LEAK']);
  return head + `${table(['rank', 'score', 'image', 'place', 'also selected for'], listed, {align: ['right', 'right']})}\n`;
}
