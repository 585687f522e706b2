/** `pupil runs` and `pupil compare`: the runs of a home, and two of them side by side. */
import {stageNames, type Results} from '../events.js';
import {printableJson} from '../printable.js';
import {comparisonOf} from '../queries/comparison.js';
import {allRuns, type RunSummary} from '../queries/runs.js';
import {table} from '../report/table.js';
import {widthOf} from '../report/wrap.js';
import {count, duration, percent} from '../words.js';

const top1 = (results: Results | null, key: keyof Results): string =>
  results?.[key] ? percent(results[key].top1) : '';

export function runs({home, json}: {readonly home: string; readonly json: boolean}): void {
  const {runs: found, unread} = allRuns(home);
  for (const {run, reason} of unread) process.stderr.write(`${run}: ${reason}\n`);
  if (json) {
    const listed = found.map(({run, about, stagesDone, seconds, results}) => ({
      run,
      about,
      stages_done: stagesDone,
      seconds,
      results: results && wireResults(results),
    }));
    process.stdout.write(`${printableJson({home, runs: listed})}\n`);
    return;
  }
  if (found.length === 0) {
    process.stdout.write(`No runs in ${home} yet. Start one with pupil orchestrate.\n`);
    return;
  }
  const rows = found.map(run => [
    run.run,
    `${run.stagesDone} of ${stageNames.length}`,
    duration(run.seconds),
    top1(run.results, 'teacher'),
    top1(run.results, 'supervised'),
    top1(run.results, 'student'),
    run.about,
  ]);
  const text = table(['run', 'stages', 'time', 'teacher', 'supervised', 'student', ''], rows, {
    align: ['left', 'left', 'right', 'right', 'right', 'right'],
    width: widthOf(process.stdout),
  });
  process.stdout.write(`${text}\n`);
}

const wireResults = ({teacher, supervised, studentPretrained, student}: Results) => ({
  teacher,
  supervised,
  student_pretrained: studentPretrained,
  student,
});

export function compare({
  home,
  a,
  b,
  json,
}: {
  readonly home: string;
  readonly a: string;
  readonly b: string;
  readonly json: boolean;
}): void {
  const {a: first, b: second, differences} = comparisonOf(home, a, b);
  const rows: string[][] = [
    ['teacher top-1', top1(first.results, 'teacher'), top1(second.results, 'teacher')],
    ['supervised top-1', top1(first.results, 'supervised'), top1(second.results, 'supervised')],
    ['student, pre-trained top-1', top1(first.results, 'studentPretrained'), top1(second.results, 'studentPretrained')],
    ['student top-1', top1(first.results, 'student'), top1(second.results, 'student')],
    ...((first.flipped ?? second.flipped)
      ? [['student top-1, flipped', top1(first.flipped, 'student'), top1(second.flipped, 'student')]]
      : []),
    ...(isCalibrated(first) || isCalibrated(second)
      ? [['student calibration error', error(first), error(second)]]
      : []),
    ['images scored', shown(first.selection?.scored), shown(second.selection?.scored)],
    ['pairs selected', shown(first.selection?.selected), shown(second.selection?.selected)],
    ['time', duration(first.seconds), duration(second.seconds)],
  ];
  if (json) {
    const side = ({run, results, flipped, calibration, seconds}: RunSummary) => ({
      run,
      results: results && wireResults(results),
      flipped: flipped && wireResults(flipped),
      calibration: calibration && {
        temperature: calibration.temperature,
        ece_before: calibration.eceBefore,
        ece_after: calibration.eceAfter,
      },
      seconds,
    });
    process.stdout.write(`${printableJson({a: side(first), b: side(second), differences})}\n`);
    return;
  }
  const settings = differences.map(({key, a, b}) => [key, a ?? '', b ?? '']);
  process.stdout.write(`${table(['', a, b], [...rows, ...settings], {align: ['left', 'right', 'right']})}\n`);
}

/** Whether a temperature was asked for. */
const isCalibrated = ({calibration}: RunSummary): boolean => calibration !== null && calibration.temperature !== 1;
const error = ({calibration}: RunSummary): string => (calibration === null ? '' : percent(calibration.eceAfter));
const shown = (value: number | undefined): string => (value === undefined ? '' : count(value));
