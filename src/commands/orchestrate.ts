/** `pupil orchestrate`: brings every round of a run up to date, in order, and says what came out. */
import type {Stop} from '../children/child.js';
import {readConfig, type ConfigFlags} from '../config/layers.js';
import type {Event, Outcome, Results} from '../events.js';
import {runPaths} from '../home.js';
import type {Wanted} from '../pipeline/run.js';
import {table} from '../report/table.js';
import {jsonView, viewFor} from '../report/terminal.js';
import {beside} from '../report/wrap.js';
import {duration, percent} from '../words.js';
import {refuseHeld} from '../app/held-run.js';
import {failedEvent} from './failed-event.js';

export interface OrchestrateFlags extends ConfigFlags, Wanted {
  readonly home: string;
  readonly python?: string | undefined;
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly acceptChange: boolean;
}

export async function orchestrate(flags: OrchestrateFlags, stop: Stop): Promise<void> {
  const started = performance.now();
  if (flags.dryRun) return await (await import('./dry-run.js')).dryRun(readConfig(flags, flags.home), flags, stop);
  const view = flags.json ? jsonView(process.stdout) : viewFor(process.stderr, stop.requested);
  try {
    const config = readConfig(flags, flags.home);
    // Before all that a run needs is loaded; the lock itself is taken with the first thing that is done.
    refuseHeld(runPaths(flags.home, config.run));
    const {adviceOnChange, bringRoundsUpToDate} = await import('../app/bring-up-to-date.js');
    const outcomes = await bringRoundsUpToDate(
      {
        config,
        home: flags.home,
        python: flags.python,
        wanted: flags,
        arm: null,
        onChange: flags.acceptChange ? 'archive' : {advice: adviceOnChange(config.run)},
      },
      stop,
      view.emit,
    );
    const done: Extract<Event, {type: 'done'}> = {
      type: 'done',
      ...outcomes.at(-1)!,
      seconds: (performance.now() - started) / 1000,
      rounds: outcomes.map(({run, results, selection}) => ({run, results, selection})),
    };
    view.emit(done);
    view.close();
    if (!flags.json) process.stdout.write(verdict(outcomes, done.seconds, flags.home));
  } catch (error) {
    // People read the error at the end; a script finds it on the last line of its stream.
    if (flags.json) view.emit(failedEvent(error));
    throw error;
  } finally {
    view.close();
  }
}

const rowNames: [keyof Results, string][] = [
  ['teacher', 'teacher'],
  ['supervised', 'supervised, as many steps as the student'],
  ['studentPretrained', 'student, pre-trained'],
  ['student', 'student, fine-tuned'],
];

/** Also in a pipe: it is a paragraph. */
const VERDICT_WIDTH = 80;

function verdict(outcomes: readonly Outcome[], seconds: number, home: string): string {
  const [first] = outcomes;
  const last = outcomes.at(-1);
  if (!first || !last) return '';
  const ran = outcomes
    .map(({run, stages}) => ({
      run,
      stages: Object.entries(stages)
        .filter(([, {status, seconds}]) => status === 'ran' || (status === 'skipped' && seconds > 0))
        .map(([name]) => name),
    }))
    .filter(({stages}) => stages.length > 0);
  const did = ran.map(({run, stages}) => `${outcomes.length === 1 ? '' : `${run}: `}${stages.join(', ')}`).join('; ');
  const head = `${first.run}: ${did === '' ? 'nothing to do' : `${did} ran`} in ${duration(seconds)}\n`;
  if (last.results === null) return head;
  return `${head}\n${outcomes.length === 1 ? oneRound(last.results, last) : severalRounds(outcomes)}\n\n${beside('', last.verdict ?? '', VERDICT_WIDTH)}\n\nReport: ${runPaths(home, last.run).report}\n`;
}

/** Accuracies, and beside them what was asked for besides: mirror images, temperatures. */
function oneRound(results: Results, {flipped, calibration}: Outcome): string {
  const calibrated = Object.values(calibration ?? {}).some(({temperature}) => temperature !== 1);
  const rows = rowNames.flatMap(([key, name]) => {
    const accuracy = results[key];
    if (accuracy === null) return [];
    const [mirrored, ece] = [flipped?.[key], calibration?.[key]?.eceAfter];
    return [
      [
        name,
        percent(accuracy.top1),
        percent(accuracy.top5),
        ...(flipped ? [mirrored ? percent(mirrored.top1) : ''] : []),
        ...(calibrated ? [ece === undefined ? '' : percent(ece)] : []),
      ],
    ];
  });
  const header = ['', 'top-1', 'top-5', ...(flipped ? ['flipped'] : []), ...(calibrated ? ['ECE'] : [])];
  const notes = [
    ...(flipped ? ['flipped: top-1 with mirror images as well, which is not the headline'] : []),
    ...(calibrated ? ['ECE: expected calibration error, at the temperatures that were asked for'] : []),
  ];
  return [
    table(header, rows, {align: ['left', ...header.slice(1).map(() => 'right' as const)]}),
    ...(notes.length === 0 ? [] : ['', ...notes]),
  ].join('\n');
}

/** Top-1, a column a round. */
function severalRounds(outcomes: readonly Outcome[]): string {
  const rows = rowNames
    .map(([key, name]) => [name, ...outcomes.map(({results}) => (results?.[key] ? percent(results[key].top1) : ''))])
    .filter(([, ...cells]) => cells.some(cell => cell !== ''));
  return table(['top-1', ...outcomes.map((_, index) => `round ${index + 1}`)], rows, {
    align: ['left', ...outcomes.map(() => 'right' as const)],
  });
}
