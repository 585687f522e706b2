/** Brings every run of an experiment up to date, one after the other, and writes the table of what they came to. */
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import type {Stop} from '../children/child.js';
import {toWire} from '../children/protocol.js';
import {findPython} from '../children/python-env.js';
import type {Experiment} from '../config/experiment.js';
import {ChildError, UserError} from '../errors.js';
import type {Emit} from '../events.js';
import {publishFile} from '../files/publish.js';
import {experimentFile, runPaths} from '../home.js';
import {figuresOf, secondsLeft} from '../queries/experiment.js';
import {plotFile} from '../report/experiment-plot.js';
import {rowsForScripts, type ExperimentResults, type RunFigures} from '../report/experiment-results.js';
import {experimentPage} from '../report/experiment-section.js';
import {csvTable, markdownTable} from '../report/experiment-table.js';
import {ADVICE_IN_EXPERIMENTS, bringRoundsUpToDate} from './bring-up-to-date.js';

export interface ExperimentRequest {
  readonly home: string;
  /** As it was given, for the command that the table names. */
  readonly file: string;
  readonly python?: string | undefined;
}

interface Failure {
  readonly run: string;
  readonly error: UserError | ChildError;
}

/**
 * Runs that fail do not hold up the others: they are told by an event, and returned beside the results of those that
 * did not.
 */
export async function runExperiment(
  plan: Experiment,
  {home, file, python}: ExperimentRequest,
  stop: Stop,
  emit: Emit,
): Promise<{readonly results: ExperimentResults; readonly failures: readonly Failure[]}> {
  const finished: RunFigures[] = [];
  const failures: Failure[] = [];
  const results = () => resultsOf(plan, file, finished, failures);
  for (const [index, run] of plan.runs.entries()) {
    emit({
      type: 'run_started',
      run: run.config.run,
      position: index + 1,
      total: plan.runs.length,
      secondsLeft: secondsLeft(plan.runs, index, home),
    });
    try {
      const outcomes = await bringRoundsUpToDate(
        {
          config: run.config,
          home,
          python,
          wanted: {},
          arm: {experiment: plan.name, arm: run.arm, seed: run.seed},
          onChange: {advice: ADVICE_IN_EXPERIMENTS},
        },
        stop,
        emit,
      );
      finished.push(figuresOf(run, home));
      if (outcomes.some(({stages}) => Object.values(stages).some(stage => stage.status === 'ran')))
        await writeResults(home, results());
    } catch (error) {
      // What a user can mend in one arm, or a child did not survive in it, is no reason to wait with the others.
      if (!(error instanceof UserError || error instanceof ChildError)) throw error;
      // Without Python all of them fail alike, and it is told once.
      findPython(python);
      failures.push({run: run.config.run, error});
      emit({
        type: 'run_failed',
        run: run.config.run,
        exitCode: error.exitCode,
        code: error.code,
        message: error.message,
      });
    }
  }
  const last = results();
  await writeResults(home, last);
  return {results: last, failures};
}

function resultsOf(
  {name, about, arms, reference, runs}: Experiment,
  file: string,
  finished: readonly RunFigures[],
  failures: readonly Failure[],
): ExperimentResults {
  const missing = runs
    .map(({config: {run}}) => run)
    .filter(run => !finished.some(figures => figures.run === run))
    .map(run => ({run, reason: failures.find(failure => failure.run === run)?.error.message ?? 'not run yet'}));
  return {
    experiment: name,
    about,
    command: `pupil experiment ${file}`,
    finishedAt: new Date().toISOString(),
    reference,
    arms: [...arms],
    runs: [...finished],
    missing,
  };
}

/** models/EXPERIMENT/: table.json, table.md, table.csv, table.html and plot.svg. */
async function writeResults(home: string, results: ExperimentResults): Promise<void> {
  const publish = (name: string, contents: string) =>
    publishFile(experimentFile(home, results.experiment, name), temporary => writeFile(temporary, contents));
  const plot = plotFile(results);
  if (plot !== null) await publish('plot.svg', plot);
  await publish(
    'table.json',
    `${JSON.stringify(JSON.parse(toWire({...results, rows: rowsForScripts(results)})), null, 2)}\n`,
  );
  await publish('table.md', markdownTable(results));
  await publish('table.csv', csvTable(results));
  const page = experimentFile(home, results.experiment, 'table.html');
  const reports = results.runs.map(({run}) => ({
    run,
    report: path.relative(path.dirname(page), runPaths(home, run).report),
  }));
  await publish('table.html', experimentPage(results, reports));
}
