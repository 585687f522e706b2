/** The table of an experiment as Markdown, as CSV, and for a terminal of 80 columns. */
import {count, duration, percent} from '../words.js';
import {
  rowsOf,
  wireName,
  type ExperimentResults,
  type ModelName,
  type Row,
  type RunFigures,
} from './experiment-results.js';
import type {Summary} from './intervals.js';
import {table} from './table.js';

const words: Readonly<Record<ModelName, string>> = {
  teacher: 'teacher',
  supervised: 'supervised, equal steps',
  studentPretrained: 'pre-trained',
  student: 'fine-tuned',
};

/** `k100, fine-tuned`; the reference's teacher and baseline stand for all. */
export const nameOf = ({arm, model}: Pick<Row, 'arm' | 'model'>): string =>
  arm === null ? words[model] : `${arm}, ${words[model]}`;

const points = (fraction: number): string => (100 * fraction).toFixed(1);
const signed = (fraction: number): string =>
  Number(points(fraction)) > 0 ? `+${points(fraction)}` : points(fraction).replace(/^-0\.0$/, '0.0');

/** `+2.1 (1.5 to 2.7)`: a mean difference in points with its interval. */
export const difference = (summary: Summary | null, between = ' to '): string =>
  summary === null
    ? ''
    : `${signed(summary.mean)}${summary.interval === null ? '' : ` (${points(summary.interval.low)}${between}${points(summary.interval.high)})`}`;

const deviation = ({top1}: Row): string => (top1.deviation === null ? '' : points(top1.deviation));

const setWords = ({set, images}: RunFigures['measuredOn']): string =>
  set === 'test'
    ? `the test set of ${count(images)} images, read once a run`
    : `the validation set of ${count(images)} images, on which epochs were chosen, so it flatters`;

/**
 * The sets that arms were measured on, each with the names of its arms where there are several. Of one set are arms
 * whose runs of each seed saw the same pictures.
 */
function setsWords({arms, runs}: ExperimentResults): string {
  const sets: {readonly words: string; readonly names: string[]; readonly runs: RunFigures[]}[] = [];
  for (const {name} of arms) {
    const own = runs.filter(({arm}) => arm === name);
    if (own.length === 0) continue;
    const words = setWords(own[0]!.measuredOn);
    const same = sets.find(
      set =>
        set.words === words &&
        own.every(run =>
          set.runs.every(other => other.seed !== run.seed || other.measuredOn.pictures === run.measuredOn.pictures),
        ),
    );
    if (same) {
      same.names.push(name);
      same.runs.push(...own);
    } else sets.push({words, names: [name], runs: own});
  }
  if (sets.length < 2) return sets[0]?.words ?? 'no set yet';
  return `different sets, between which nothing is compared (${sets.map(({words, names}) => `${names.join(', ')}: ${words}`).join('; ')})`;
}

/** What the figures are, in a sentence or two. */
export const caption = (results: ExperimentResults): string =>
  `Top-1 on ${setsWords(results)}: ` +
  "mean, standard deviation and number n of runs. Differences are in points, each within a run or between runs of one seed, with the 95 % interval by Student's t. " +
  'Steps and time are those of the training.';

const missingLines = ({missing}: ExperimentResults): string[] =>
  missing.map(({run, reason}) => `${run}: ${reason.split('\n')[0]}`);

export function markdownTable(results: ExperimentResults): string {
  const {reference, arms, command} = results;
  const rows = rowsOf(results).map(row => [
    row.model === 'student' ? `**${nameOf(row)}**` : nameOf(row),
    percent(row.top1.mean),
    deviation(row),
    String(row.top1.n),
    difference(row.toTeacher),
    difference(row.toSupervised),
    difference(row.toReference),
    row.steps === null ? '' : count(Math.round(row.steps)),
    row.seconds === null ? '' : duration(row.seconds),
  ]);
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const about = arms.filter(arm => arm.about !== '').map(arm => `- \`${arm.name}\`: ${arm.about}`);
  return [
    line(['', 'top-1', 'sd', 'n', 'to its teacher', 'to supervised', `to \`${reference}\``, 'steps', 'time']),
    line(['---', '---:', '---:', '---:', '---', '---', '---', '---:', '---:']),
    ...rows.map(line),
    '',
    `\`${command}\`. ${caption(results)}`,
    ...(about.length > 0 ? ['', ...about] : []),
    ...(results.missing.length > 0
      ? ['', 'Missing:', '', ...missingLines(results).map(missing => `- ${missing}`)]
      : []),
    '',
  ].join('\n');
}

/** A row a model, accuracies and differences as fractions. */
export function csvTable(results: ExperimentResults): string {
  const ends = (summary: Summary | null) => [summary?.mean, summary?.interval?.low, summary?.interval?.high];
  const columns = (name: string) => [name, `${name}_low`, `${name}_high`];
  const header = [
    'arm',
    'model',
    'n',
    'top1',
    'deviation',
    'top1_low',
    'top1_high',
    ...columns('to_teacher'),
    ...columns('to_supervised'),
    ...columns('to_reference'),
    'steps',
    'seconds',
  ];
  const rows = rowsOf(results).map(({arm, model, top1, toTeacher, toSupervised, toReference, steps, seconds}) => [
    arm ?? '',
    wireName(model),
    top1.n,
    top1.mean,
    top1.deviation,
    top1.interval?.low,
    top1.interval?.high,
    ...ends(toTeacher),
    ...ends(toSupervised),
    ...ends(toReference),
    steps,
    seconds,
  ]);
  return [header, ...rows].map(cells => `${cells.map(cell => cell ?? '').join(',')}\n`).join('');
}

/** Accuracies with their budgets, then the fine-tuned students' differences. */
export function terminalTable(results: ExperimentResults): string {
  const rows = rowsOf(results);
  const accuracies = rows.map(row => [
    nameOf(row),
    percent(row.top1.mean),
    deviation(row),
    String(row.top1.n),
    row.steps === null ? '' : count(Math.round(row.steps)),
    row.seconds === null ? '' : duration(row.seconds),
  ]);
  const differences = rows
    .filter(({model}) => model === 'student')
    .map(row => [
      row.arm ?? '',
      ...[row.toTeacher, row.toSupervised, row.toReference].map(summary => difference(summary, '..')),
    ]);
  const others = rows.some(({toReference}) => toReference !== null);
  const compared = [
    'fine-tuned, points',
    'to its teacher',
    'to supervised',
    ...(others ? [`to ${results.reference}`] : []),
  ];
  return [
    table(['', 'top-1', 'sd', 'n', 'steps', 'time'], accuracies, {
      align: ['left', 'right', 'right', 'right', 'right', 'right'],
    }),
    '',
    table(
      compared,
      differences.map(cells => cells.slice(0, compared.length)),
    ),
    ...(results.missing.length > 0 ? ['', 'Missing:', ...missingLines(results).map(missing => `  ${missing}`)] : []),
  ].join('\n');
}
