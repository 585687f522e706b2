/** `pupil runs` and `pupil compare`: the runs of a home, and two of them side by side. */
import {environmentError} from '../errors.js';
import type {Calibration, Results, SelectionCounts} from '../events.js';
import {printableJson} from '../printable.js';
import {table} from '../report/table.js';
import {widthOf} from '../report/wrap.js';
import {stageNames} from '../events.js';
import type {EvaluateSummary} from '../stages/evaluate.js';
import {count, duration, percent} from '../words.js';
import {openRun, runsOf} from '../queries/find-run.js';

interface RunSummary {
  readonly run: string;
  readonly about: string;
  readonly stagesDone: number;
  readonly seconds: number;
  readonly results: Results | null;
  readonly flipped: Results | null;
  /** The student's. */
  readonly calibration: Calibration | null;
  readonly selection: Pick<SelectionCounts, 'topP' | 'topK' | 'scored' | 'selected'> | null;
  readonly settings: Readonly<Record<string, string>>;
}

function summarise(home: string, run: string): RunSummary {
  const {store, config} = openRun({home, run});
  try {
    const records = stageNames.map(name => store.stages.read(name)).filter(record => record !== null);
    const altered = records.find(record => !record.isIntact);
    if (altered) throw environmentError(`Run ${run}: the record of ${altered.name} in the database is not what was written. Run pupil orchestrate, which makes it anew.`);
    const done = records.filter(record => record.status === 'done' || record.status === 'skipped');
    const summary = (name: string) => done.find(record => record.name === name)?.summary;
    // Written by those stages in these shapes.
    const evaluated = summary('evaluate') as EvaluateSummary | undefined;
    return {
      run,
      about: config.about ?? '',
      stagesDone: done.length,
      seconds: records.reduce((sum, record) => sum + record.seconds, 0),
      results: evaluated?.results ?? null,
      flipped: evaluated?.flipped ?? null,
      calibration: evaluated?.calibration.student ?? null,
      selection: (summary('select') as SelectionCounts | undefined) ?? null,
      // Those of its results, where it has any: the run may have others by now.
      settings: flatten(evaluated?.config ?? config),
    };
  } finally {
    store.close();
  }
}

const flatten = (value: unknown, prefix = ''): Record<string, string> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.assign({}, ...Object.entries(value).map(([key, inner]) => flatten(inner, prefix === '' ? key : `${prefix}.${key}`))) as Record<string, string>
    : {[prefix]: Array.isArray(value) ? value.join(', ') : String(value)};

const top1 = (results: Results | null, key: keyof Results): string => (results?.[key] ? percent(results[key].top1) : '');

export function runs({home, json}: {readonly home: string; readonly json: boolean}): void {
  const found = runsOf(home).flatMap(run => {
    try {
      return [summarise(home, run)];
    } catch (error) {
      // One damaged or unfinished run must not hide the others.
      process.stderr.write(`${run}: ${error instanceof Error ? error.message : String(error)}\n`);
      return [];
    }
  });
  if (json) {
    const listed = found.map(({run, about, stagesDone, seconds, results}) => ({run, about, stages_done: stagesDone, seconds, results: results && wireResults(results)}));
    process.stdout.write(`${printableJson({home, runs: listed})}\n`);
    return;
  }
  if (found.length === 0) {
    process.stdout.write(`No runs in ${home} yet. Start one with pupil orchestrate.\n`);
    return;
  }
  const rows = found.map(run => [run.run, `${run.stagesDone} of ${stageNames.length}`, duration(run.seconds), top1(run.results, 'teacher'), top1(run.results, 'supervised'), top1(run.results, 'student'), run.about]);
  const text = table(['run', 'stages', 'time', 'teacher', 'supervised', 'student', ''], rows, {
    align: ['left', 'left', 'right', 'right', 'right', 'right'],
    width: widthOf(process.stdout),
  });
  process.stdout.write(`${text}\n`);
}

const wireResults = ({teacher, supervised, studentPretrained, student}: Results) => ({teacher, supervised, student_pretrained: studentPretrained, student});

export function compare({home, a, b, json}: {readonly home: string; readonly a: string; readonly b: string; readonly json: boolean}): void {
  const [first, second] = [summarise(home, a), summarise(home, b)];
  const rows: string[][] = [
    ['teacher top-1', top1(first.results, 'teacher'), top1(second.results, 'teacher')],
    ['supervised top-1', top1(first.results, 'supervised'), top1(second.results, 'supervised')],
    ['student, pre-trained top-1', top1(first.results, 'studentPretrained'), top1(second.results, 'studentPretrained')],
    ['student top-1', top1(first.results, 'student'), top1(second.results, 'student')],
    ...(first.flipped ?? second.flipped ? [['student top-1, flipped', top1(first.flipped, 'student'), top1(second.flipped, 'student')]] : []),
    ...(isCalibrated(first) || isCalibrated(second) ? [['student calibration error', error(first), error(second)]] : []),
    ['images scored', shown(first.selection?.scored), shown(second.selection?.scored)],
    ['pairs selected', shown(first.selection?.selected), shown(second.selection?.selected)],
    ['time', duration(first.seconds), duration(second.seconds)],
  ];
  const keys = [...new Set([...Object.keys(first.settings), ...Object.keys(second.settings)])].filter(key => key !== 'run' && key !== 'about' && first.settings[key] !== second.settings[key]);
  if (json) {
    const side = ({run, results, flipped, calibration, seconds}: RunSummary) => ({
      run,
      results: results && wireResults(results),
      flipped: flipped && wireResults(flipped),
      calibration: calibration && {temperature: calibration.temperature, ece_before: calibration.eceBefore, ece_after: calibration.eceAfter},
      seconds,
    });
    const differences = keys.map(key => ({key, a: first.settings[key] ?? null, b: second.settings[key] ?? null}));
    process.stdout.write(`${printableJson({a: side(first), b: side(second), differences})}\n`);
    return;
  }
  const settings = keys.map(key => [key, first.settings[key] ?? '', second.settings[key] ?? '']);
  process.stdout.write(`${table(['', a, b], [...rows, ...settings], {align: ['left', 'right', 'right']})}\n`);
}

/** Whether a temperature was asked for. */
const isCalibrated = ({calibration}: RunSummary): boolean => calibration !== null && calibration.temperature !== 1;
const error = ({calibration}: RunSummary): string => (calibration === null ? '' : percent(calibration.eceAfter));
const shown = (value: number | undefined): string => (value === undefined ? '' : count(value));
