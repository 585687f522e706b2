/** `pupil experiment FILE`: brings every arm of an experiment up to date under every seed, and writes the table of what they came to. */
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import type {Stop} from '../children/child.js';
import {toWire} from '../children/protocol.js';
import {findPython} from '../children/python-env.js';
import {ChildError, exitCodeFor, UserError} from '../errors.js';
import {stageNames, type Emit} from '../events.js';
import {readExperiment, type Experiment, type ExperimentRun} from '../config/experiment.js';
import {experimentFile, runPaths} from '../home.js';
import {publishFile} from '../files/publish.js';
import {experimentPage} from '../report/experiment-section.js';
import {plotFile} from '../report/experiment-plot.js';
import {rowsForScripts, type ExperimentResults, type RunFigures} from '../report/experiment-results.js';
import {csvTable, markdownTable, terminalTable} from '../report/experiment-table.js';
import {jsonView, viewFor} from '../report/terminal.js';
import {configsOfRounds} from '../config/rounds.js';
import type {EvaluateSummary} from '../stages/evaluate.js';
import {openStoreToRead, type Store} from '../store/open.js';
import {ADVICE_IN_EXPERIMENTS, bringRoundsUpToDate} from '../app/bring-up-to-date.js';
import {dryRunOfExperiment} from './dry-run-experiment.js';
import {runsOfSeed} from '../queries/open-run.js';

export interface ExperimentCommandFlags {
  readonly home: string;
  readonly file: string;
  readonly device?: string | undefined;
  readonly python?: string | undefined;
  readonly json: boolean;
  readonly dryRun: boolean;
}

export async function experiment(flags: ExperimentCommandFlags, stop: Stop): Promise<void> {
  const {home} = flags;
  const plan = readExperiment(flags, home);
  if (flags.dryRun) return await dryRunOfExperiment(plan, flags, stop);

  const view = flags.json ? jsonView(process.stdout) : viewFor(process.stderr, stop.requested);
  // For people what is fresh of dozens of runs is not worth a line each.
  const emit: Emit = event => {
    const known = event.type === 'stage_fresh' || (event.type === 'started' && plan.runs.some(({config}) => config.run === event.run));
    if (flags.json || !known) view.emit(event);
  };
  const finished: RunFigures[] = [];
  const failures: {run: string; error: UserError | ChildError}[] = [];
  const results = () => resultsOf(plan, flags.file, finished, failures);
  try {
    for (const [index, run] of plan.runs.entries()) {
      emit({type: 'run_started', run: run.config.run, position: index + 1, total: plan.runs.length, secondsLeft: secondsLeft(plan.runs, index, home)});
      try {
        const outcomes = await bringRoundsUpToDate({config: run.config, home, python: flags.python, wanted: {}, origins: runsOfSeed(home, run.seed), onChange: {advice: ADVICE_IN_EXPERIMENTS}}, stop, emit);
        finished.push(whatCameOf(run, home));
        if (outcomes.some(({stages}) => Object.values(stages).some(stage => stage.status === 'ran'))) await writeResults(home, results());
      } catch (error) {
        // What a user can mend in one arm, or a child did not survive in it, is no reason to wait with the others.
        if (!(error instanceof UserError || error instanceof ChildError)) throw error;
        // Without Python all of them fail alike, and it is told once.
        findPython(flags.python);
        failures.push({run: run.config.run, error});
        emit({type: 'run_failed', run: run.config.run, exitCode: error.exitCode, message: error.message});
      }
    }
    const last = results();
    await writeResults(home, last);
    view.close();
    if (flags.json) process.stdout.write(`${toWire({type: 'results', ...last, rows: rowsForScripts(last)})}\n`);
    else process.stdout.write(`${last.runs.length === 0 ? '' : `\n${terminalTable(last)}\n`}\nReport: ${experimentFile(home, plan.name, 'table.html')}\n`);
  } finally {
    view.close();
  }
  const [first] = failures;
  if (first) throw new UserError(exitCodeFor(first.error), `${failures.length} of ${plan.runs.length} runs failed, first ${first.run}. Mend it and run the same command again; what is done stays.`, {cause: first.error});
}

const roundsOf = ({config}: ExperimentRun, home: string): string[] => configsOfRounds(config, home).map(({run}) => run);

/** Opens the state of a run's rounds; null where one has none yet. */
function withRounds<Result>(run: ExperimentRun, home: string, use: (stores: readonly Store[]) => Result): Result | null {
  const stores: Store[] = [];
  try {
    for (const name of roundsOf(run, home)) {
      const store = openStoreToRead(runPaths(home, name).database);
      if (store === null) return null;
      stores.push(store);
    }
    return use(stores);
  } finally {
    for (const store of stores) store.close();
  }
}

/** The seconds that a run spent itself, on what it did not get from another; null where it is not done. */
function secondsSpent(run: ExperimentRun, home: string): number | null {
  try {
    return withRounds(run, home, stores => {
      if (stores.some(store => store.stages.read('report')?.status !== 'done')) return null;
      return stores.flatMap(store => stageNames.flatMap(stage => store.events.of(stage, 'stage_finished'))).reduce((sum, {seconds}) => sum + seconds, 0);
    });
  } catch (error) {
    // A damaged database is told when the run's turn comes.
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** Of the runs from `index` on that are not done: each as long as its arm took under other seeds, else as long as the mean run. */
function secondsLeft(runs: readonly ExperimentRun[], index: number, home: string): number | null {
  const spent = runs.map(run => ({run, seconds: secondsSpent(run, home)}));
  const mean = (of: readonly {seconds: number | null}[]) => {
    const known = of.flatMap(({seconds}) => (seconds === null ? [] : [seconds]));
    return known.length === 0 ? null : known.reduce((sum, seconds) => sum + seconds, 0) / known.length;
  };
  const all = mean(spent);
  if (all === null) return null;
  return spent.slice(index).filter(({seconds}) => seconds === null).reduce((sum, {run}) => sum + (mean(spent.filter(other => other.run.arm === run.arm)) ?? all), 0);
}

/** Of a finished run its last round's accuracies, and the training of all its rounds. */
function whatCameOf(run: ExperimentRun, home: string): RunFigures {
  const found = withRounds(run, home, stores => {
    const rounds = stores.map(store => {
      // Written by those stages in these shapes; a teacher that was given has no training.
      const training = (stage: 'teacher' | 'pretrain' | 'finetune') => store.stages.read(stage)?.summary as {steps?: number; seconds?: number};
      return {store, evaluated: store.stages.read('evaluate')?.summary as EvaluateSummary, teacher: training('teacher'), pretrain: training('pretrain'), finetune: training('finetune')};
    });
    const {store, evaluated, ...last} = rounds.at(-1)!;
    const {set, images, results} = evaluated;
    const pictures = store.stages.read('prepare')?.outputs.find(({name, path: file}) => name === set && file !== null && path.basename(file) === 'ids.txt')?.sha256 ?? '';
    const before = rounds.slice(0, -1);
    const budget = (unit: 'steps' | 'seconds', supervised: number | null) => {
      const students = before.reduce((sum, {pretrain, finetune}) => sum + (pretrain[unit] ?? 0) + (finetune[unit] ?? 0), 0);
      const pretrained = students + (last.pretrain[unit] ?? 0);
      return {teacher: before.length > 0 ? students : (last.teacher[unit] ?? null), supervised, studentPretrained: pretrained, student: pretrained + (last.finetune[unit] ?? 0)};
    };
    return {run: run.config.run, arm: run.arm, seed: run.seed, measuredOn: {set, images, pictures}, results, steps: budget('steps', evaluated.steps?.supervised ?? null), seconds: budget('seconds', evaluated.baselineSeconds)};
  });
  if (found === null) throw new Error(`Run ${run.config.run} went away while its experiment ran.`);
  return found;
}

function resultsOf({name, about, arms, reference, runs}: Experiment, file: string, finished: readonly RunFigures[], failures: readonly {run: string; error: Error}[]): ExperimentResults {
  const missing = runs
    .map(({config: {run}}) => run)
    .filter(run => !finished.some(figures => figures.run === run))
    .map(run => ({run, reason: failures.find(failure => failure.run === run)?.error.message ?? 'not run yet'}));
  return {experiment: name, about, command: `pupil experiment ${file}`, finishedAt: new Date().toISOString(), reference, arms: [...arms], runs: [...finished], missing};
}

/** models/EXPERIMENT/: table.json, table.md, table.csv, table.html and plot.svg. */
async function writeResults(home: string, results: ExperimentResults): Promise<void> {
  const publish = (name: string, contents: string) => publishFile(experimentFile(home, results.experiment, name), temporary => writeFile(temporary, contents));
  const plot = plotFile(results);
  if (plot !== null) await publish('plot.svg', plot);
  await publish('table.json', `${JSON.stringify(JSON.parse(toWire({...results, rows: rowsForScripts(results)})), null, 2)}\n`);
  await publish('table.md', markdownTable(results));
  await publish('table.csv', csvTable(results));
  const page = experimentFile(home, results.experiment, 'table.html');
  const reports = results.runs.map(({run}) => ({run, report: path.relative(path.dirname(page), runPaths(home, run).report)}));
  await publish('table.html', experimentPage(results, reports));
}
