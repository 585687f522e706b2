/** Which stages of each run of an experiment would run now, and how long they would take. Nothing is written. */
import {existsSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import type {Stop} from '../children/child.js';
import {findPython} from '../children/python-env.js';
import {openExecutor} from '../children/executor.js';
import type {Experiment, ExperimentRun} from '../config/experiment.js';
import {roundName} from '../config/rounds.js';
import {evaluationBatch, trainingSettings} from '../config/rules.js';
import {stageNames, type StageName} from '../events.js';
import {temporaryFolder} from '../files/temporary.js';
import {runPaths} from '../home.js';
import {sharedStages} from '../pipeline/shared-stages.js';
import {inspect} from '../pipeline/run.js';
import {contextFor, type RunContext} from '../stages/context.js';
import {withDevice} from '../stages/device.js';
import {stages} from '../stages/index.js';
import {epochsOf} from '../stages/training-length.js';
import {blankStore, openStoreToRead} from '../store/open.js';
import {ADVICE_IN_EXPERIMENTS, otherData} from './bring-up-to-date.js';
import {countImages, estimate, measureSpeeds} from './estimate.js';
import type {ForecastRequest} from './forecast.js';
import {changedInputs} from './inputs.js';

type Request = Omit<ForecastRequest, 'acceptChange'>;

export interface PlannedRun {
  readonly run: string;
  readonly stages: readonly StageName[];
  readonly seconds: number;
}

export async function forecastExperiment(
  {runs}: Pick<Experiment, 'runs'>,
  request: Request,
  stop: Stop,
): Promise<PlannedRun[]> {
  // The children's configs and logs go where nothing of a run lies.
  const attempts = temporaryFolder('dry-run');
  const blank = blankStore();
  const executor = openExecutor();
  try {
    const contexts: RunContext[] = [];
    for (const {config} of runs) {
      const context = await contextFor(config, {
        paths: {...runPaths(request.home, config.run), attempts},
        store: blank,
        stop,
        emit: () => {},
        executor,
      });
      // A pool may have millions of files: it is looked at once for all runs that read it.
      const alike = contexts.find(other => sourcesKey(other) === sourcesKey(context));
      contexts.push(alike ? {...context, sources: alike.sources} : context);
    }
    return await planRuns(runs, contexts, request);
  } finally {
    await executor.close();
    blank.close();
    await rm(attempts, {recursive: true, force: true});
  }
}

async function planRuns(
  runs: readonly ExperimentRun[],
  contexts: readonly RunContext[],
  {home, python, onMeasuring}: Request,
): Promise<PlannedRun[]> {
  const planned: PlannedRun[] = [];
  const baselines = new Set<string>();
  const speedsOf = memo(speedKey, async context => {
    onMeasuring();
    return await measureSpeeds(await withDevice(context, findPython(python)));
  });
  const countsOf = memo(sourcesKey, countImages);
  for (const [index, context] of contexts.entries()) {
    const fresh = new Set([
      ...(await freshNow(context, home)),
      ...(await sharedWith(context, contexts.slice(0, index))),
    ]);
    const stale = stages.map(stage => stage.name).filter(stage => !fresh.has(stage));
    const counts = await countsOf(context);
    const speeds = stale.length === 0 ? null : await speedsOf(context);
    const amounts = estimate(context, counts, speeds);
    // A baseline of equal data, settings and steps is trained once, whosever it is.
    const settings = trainingSettings(context.config, 'pretrain', context.size);
    const pictures = settings.batchSize ?? evaluationBatch(context.config);
    const epochs = epochsOf(amounts.baseline.steps ?? 0, counts.train, pictures);
    const baseline = JSON.stringify([runs[index]!.seed, {...settings, epochs}]);
    const secondsOf = (stage: StageName) =>
      stage === 'baseline' && baselines.has(baseline) ? 0 : (amounts[stage].seconds ?? 0);
    // Of later rounds only the labelled sets and the teacher are there already; a baseline is the first one's.
    const round = stageNames
      .filter(stage => !['prepare', 'teacher', 'baseline'].includes(stage))
      .reduce((sum, stage) => sum + (amounts[stage].seconds ?? 0), 0);
    const rounds = existsSync(runPaths(home, roundName(context.config.run, context.config.rounds)).database)
      ? 0
      : context.config.rounds - 1;
    const proving = speeds?.startUps.trainer ?? 0;
    planned.push({
      run: context.config.run,
      stages: stale,
      seconds: stale.reduce((sum, stage) => sum + secondsOf(stage), proving) + rounds * (proving + round),
    });
    baselines.add(baseline);
  }
  return planned;
}

/** What a run has, or would find kept. Throws what the run itself would be refused with. */
async function freshNow(context: RunContext, home: string): Promise<ReadonlySet<StageName>> {
  const {run} = context.config;
  const store = openStoreToRead(runPaths(home, run).database);
  try {
    const looking = {...context, store: store ?? context.store};
    const change = store === null ? null : await changedInputs(looking);
    if (change !== null) throw otherData(run, change, ADVICE_IN_EXPERIMENTS);
    const plan = await inspect(stages, looking);
    return new Set(plan.filter(({verdict, kept}) => verdict.fresh || kept !== null).map(({stage}) => stage.name));
  } finally {
    store?.close();
  }
}

/** What a run would find kept by runs of this experiment that come before it. */
async function sharedWith(context: RunContext, others: readonly RunContext[]): Promise<ReadonlySet<StageName>> {
  const shared = new Set<StageName>();
  for (const other of others) for (const name of await sharedStages(stages, context, other)) shared.add(name);
  return shared;
}

const sourcesKey = ({config: {labelled, validation, unlabelled, test}}: RunContext): string =>
  JSON.stringify([labelled, validation, unlabelled, test]);

const speedKey = ({config, size}: RunContext): string => {
  const networks = (['teacher', 'pretrain'] as const)
    .map(step => trainingSettings(config, step, size))
    .map(({model, stem, batchSize, precision}) => [model, stem, batchSize, precision]);
  return JSON.stringify([config.device, config.train.processes, config.train.hosts, config.score.workers, networks]);
};

/** Asks once for all contexts that have the same key. */
function memo<Value>(
  keyOf: (context: RunContext) => string,
  ask: (context: RunContext) => Promise<Value>,
): (context: RunContext) => Promise<Value> {
  const answers = new Map<string, Promise<Value>>();
  return context => {
    const key = keyOf(context);
    const answer = answers.get(key) ?? ask(context);
    answers.set(key, answer);
    return answer;
  };
}
