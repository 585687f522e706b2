/** What the runs of an experiment came to, and how long those that are left will take. */
import path from 'node:path';
import type {ExperimentRun} from '../config/experiment.js';
import {configsOfRounds} from '../config/rounds.js';
import {UserError} from '../errors.js';
import {stageNames} from '../events.js';
import {runPaths} from '../home.js';
import type {RunFigures} from '../report/experiment-results.js';
import {requireSummary} from '../stages/summaries.js';
import {openStoreToRead, type Store} from '../store/open.js';

const roundsOf = ({config}: ExperimentRun, home: string): string[] => configsOfRounds(config, home).map(({run}) => run);

/** Opens the state of a run's rounds; null where one has none yet. */
function withRounds<Result>(
  run: ExperimentRun,
  home: string,
  use: (stores: readonly Store[]) => Result,
): Result | null {
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
      return stores
        .flatMap(store => stageNames.flatMap(stage => store.events.of(stage, 'stage_finished')))
        .reduce((sum, {seconds}) => sum + seconds, 0);
    });
  } catch (error) {
    // A damaged database is told when the run's turn comes.
    if (error instanceof UserError) return null;
    throw error;
  }
}

/**
 * Of the runs from `index` on that are not done: each as long as its arm took under other seeds, else as long as the
 * mean run.
 */
export function secondsLeft(runs: readonly ExperimentRun[], index: number, home: string): number | null {
  const spent = runs.map(run => ({run, seconds: secondsSpent(run, home)}));
  const mean = (of: readonly {seconds: number | null}[]) => {
    const known = of.flatMap(({seconds}) => (seconds === null ? [] : [seconds]));
    return known.length === 0 ? null : known.reduce((sum, seconds) => sum + seconds, 0) / known.length;
  };
  const all = mean(spent);
  if (all === null) return null;
  return spent
    .slice(index)
    .filter(({seconds}) => seconds === null)
    .reduce((sum, {run}) => sum + (mean(spent.filter(other => other.run.arm === run.arm)) ?? all), 0);
}

/** Of a finished run its last round's accuracies, and the training of all its rounds. */
export function figuresOf(run: ExperimentRun, home: string): RunFigures {
  const found = withRounds(run, home, stores => {
    const rounds = stores.map(store => {
      const teacher = requireSummary(store, 'teacher');
      return {
        store,
        evaluated: requireSummary(store, 'evaluate'),
        teacher: 'steps' in teacher ? teacher : null,
        baseline: requireSummary(store, 'baseline'),
        pretrain: requireSummary(store, 'pretrain'),
        finetune: requireSummary(store, 'finetune'),
      };
    });
    const {store, evaluated, ...last} = rounds.at(-1)!;
    const {set, images, results} = evaluated;
    const pictures =
      store.stages
        .read('prepare')
        ?.outputs.find(({name, path: file}) => name === set && file !== null && path.basename(file) === 'ids.txt')
        ?.sha256 ?? '';
    const before = rounds.slice(0, -1);
    const budget = (unit: 'steps' | 'seconds', supervised: number | null) => {
      const students = before.reduce((sum, {pretrain, finetune}) => sum + pretrain[unit] + finetune[unit], 0);
      const pretrained = students + last.pretrain[unit];
      return {
        teacher: before.length > 0 ? students : (last.teacher?.[unit] ?? null),
        supervised,
        studentPretrained: pretrained,
        student: pretrained + last.finetune[unit],
      };
    };
    return {
      run: run.config.run,
      arm: run.arm,
      seed: run.seed,
      measuredOn: {set, images, pictures},
      results,
      steps: budget('steps', evaluated.steps?.supervised ?? null),
      seconds: budget('seconds', 'seconds' in last.baseline ? last.baseline.seconds : null),
    };
  });
  if (found === null) throw new Error(`Run ${run.config.run} went away while its experiment ran.`);
  return found;
}
