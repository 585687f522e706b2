/** Brings a run up to date: takes its lock, refuses changed inputs, runs what is stale, and tells what came out. */
import {existsSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import {hostname} from 'node:os';
import path from 'node:path';
import type {Stop} from '../children/child.js';
import {findPython} from '../children/python-env.js';
import {openExecutor, type Executor} from '../children/executor.js';
import type {Config} from '../config/schema.js';
import {UserError} from '../errors.js';
import {stageNames, type Emit, type Event, type Outcome} from '../events.js';
import {runPaths, type RunPaths} from '../home.js';
import {inspect, runStages, type Wanted} from '../pipeline/run.js';
import {configsOfRounds} from '../config/rounds.js';
import {resultsOf} from '../queries/results.js';
import {contextFor, threadsOf, type RunContext} from '../stages/context.js';
import {provePython, withDevice} from '../stages/device.js';
import {makerOf} from './at-work.js';
import {archiveRun} from './archive-run.js';
import {drawDemoPictures, lacksDemoPictures} from './demo-pictures.js';
import {stages} from '../stages/index.js';
import {settleRoots} from '../stages/sources.js';
import {changedInputs} from './inputs.js';
import {fetchMissing, missingDatasets} from './missing-datasets.js';
import {takeLock} from '../store/lock.js';
import {besideDatabase, blankStore, openStore, type Store} from '../store/open.js';
import type {Belonging} from '../store/run.js';
import {explainFault} from '../machine-fault.js';
import {heldError} from './held-run.js';
import {keepRunsOfBefore} from './keep-runs.js';

export interface RunRequest {
  readonly config: Config;
  readonly home: string;
  readonly python: string | undefined;
  readonly wanted: Wanted;
  /** Of an experiment, which it is. */
  readonly arm: Belonging['arm'];
  /**
   * Where pictures that its figures rest on changed: `archive` keeps the run as it is under another name, and goes on
   * from it; else the run is refused with this advice.
   */
  readonly onChange: 'archive' | {readonly advice: string};
}

interface RoundRequest extends RunRequest {
  readonly belonging: Belonging;
  /** Those of all rounds. */
  readonly executor: Executor;
}

/**
 * Every round of a run, in order. Parts that were asked for are the first round's; the others follow from its student,
 * whole.
 */
export async function bringRoundsUpToDate(request: RunRequest, stop: Stop, emit: Emit): Promise<Outcome[]> {
  const {config, home, wanted, arm} = request;
  const configs = wanted.only === undefined && wanted.until === undefined ? configsOfRounds(config, home) : [config];
  const outcomes: Outcome[] = [];
  const executor = openExecutor();
  try {
    for (const [index, round] of configs.entries()) {
      const belonging = {arm, first: config.run, round: index + 1};
      const ofRound = {...request, config: round, wanted: index === 0 ? wanted : {}, executor, belonging};
      outcomes.push(await bringUpToDate(ofRound, stop, emit));
    }
  } finally {
    await executor.close();
  }
  return outcomes;
}

/** What to do about a run whose data changed, for whoever started it by itself. */
export const adviceOnChange = (run: string): string =>
  `Put the data back, use another name (--run NAME), or go on with --accept-change (the run as it is stays under ${run}@1 or the next free number).`;

/** The same for a run of an experiment, whose name and data are the experiment's. */
export const ADVICE_IN_EXPERIMENTS = 'Put the data back, or give the experiment another name.';

/** The refusal of a run whose figures rest on other data than there is now. */
export const otherData = (run: string, change: string, advice: string): UserError =>
  new UserError('OTHER_DATA', `Run ${run} was made from other data:\n  ${change}\nNothing was touched. ${advice}`);

async function bringUpToDate(request: RoundRequest, stop: Stop, emit: Emit): Promise<Outcome> {
  const {config, home} = request;
  const paths = runPaths(home, config.run);
  const isNew = !existsSync(paths.database);
  if (isNew) await lookAhead(request, paths, stop);
  const lock = takeLock(paths.lock);
  if (lock === null) throw heldError(paths);
  let store: Store | null = null;
  try {
    const draws = lacksDemoPictures(config, home);
    const missing = missingDatasets(config, home);
    // Whoever lacks Python or torch should not wait for pictures first.
    if (draws || missing.length > 0)
      await provePython(findPython(request.python), {
        executor: request.executor,
        attempt: path.join(paths.attempts, 'python'),
        stop,
      });
    if (draws) await drawDemoPictures({paths, threads: threadsOf(config), stop, emit});
    if (missing.length > 0) await fetchMissing(missing, {home, signal: stop.requested, emit});
    await keepRunsOfBefore(paths, stop.requested, emit);
    store = openStore(paths.database);
    const context = await openContext(store, paths, request, stop, emit);
    const change = await changedInputs(context);
    if (change !== null) {
      if (request.onChange !== 'archive') throw otherData(paths.run, change, request.onChange.advice);
      const {name, lacks} = await archiveRun(context);
      emit({type: 'note', stage: null, message: `the data changed; the run as it was is kept as ${name}`});
      if (lacks.length > 0)
        emit({
          type: 'warning',
          stage: null,
          message: `${name} lacks ${lacks.join(', ')}, which are damaged or rest on what is not there any more`,
        });
    }
    store.run.setConfig(JSON.stringify(config));
    const outcome = await runWhatIsStale(context, request);
    if (!existsSync(paths.database))
      throw new UserError(
        'LOST_DATABASE',
        `${paths.database} was removed while the run went on, and with it all that was recorded. Run the same command again; it begins anew.`,
      );
    return outcome;
  } catch (error) {
    // A run of which no stage began is none: whoever mends the command has nothing to clear away.
    if (isNew && store !== null && stageNames.every(name => store?.stages.read(name) === null)) {
      store.close();
      store = null;
      for (const left of [paths.database, ...besideDatabase(paths.database)]) await rm(left, {force: true});
    }
    throw explainFault(error, paths);
  } finally {
    store?.close();
    lock.release();
  }
}

/**
 * Refuses what a new run would be refused for, before anything of it is there, or drawn or fetched for it: then its
 * data is looked at once it has come.
 */
async function lookAhead({config, home, python}: RunRequest, paths: RunPaths, stop: Stop): Promise<void> {
  if (!lacksDemoPictures(config, home) && missingDatasets(config, home).length === 0) {
    const blank = blankStore();
    try {
      await contextFor(config, {paths, store: blank, stop, emit: () => {}, executor: null});
    } finally {
      blank.close();
    }
  }
  findPython(python);
}

/** Marks the run as ours, and recognises the sources. */
async function openContext(
  store: Store,
  paths: RunPaths,
  {config, executor, belonging}: RoundRequest,
  stop: Stop,
  emit: Emit,
): Promise<RunContext> {
  store.run.take(paths.run, {pid: process.pid, host: hostname(), since: new Date().toISOString()}, belonging);
  const emitAndKeep: Emit = event => {
    if (isKept(event)) store.events.add(event);
    emit(event);
  };
  return {...(await contextFor(config, {paths, store, stop, emit: emitAndKeep, executor})), makerOf: makerOf(paths)};
}

/** Progress is only for the moment; all else is kept. */
const isKept = (event: Event): boolean => event.type !== 'progress';

async function runWhatIsStale(context: RunContext, {wanted, python}: RunRequest): Promise<Outcome> {
  const {store, paths, emit, config} = context;
  emit({type: 'started', run: paths.run, home: paths.home, device: config.device});
  const plan = await inspect(stages, context, wanted);
  // Python and the device are proved before any work, and not at all where there is none.
  const nothingToRun = plan.every(({wanted, verdict, kept}) => !wanted || verdict.fresh || kept !== null);
  let proved: RunContext | null = null;
  // What was to be taken may turn out to be damaged.
  const ready = async () => (proved ??= await withDevice(context, findPython(python)));
  if (!nothingToRun) await ready();
  if (plan.some(({wanted, verdict}) => wanted && !verdict.fresh)) await unpackSources(context);
  const outcome = await runStages(stages, context, wanted, ready);
  // Where a part was asked for, what lies behind it may be of earlier settings, and is no outcome of these.
  const standing = new Set(
    'report' in outcome
      ? stageNames
      : (await inspect(stages, context)).filter(({stands}) => stands).map(({stage}) => stage.name),
  );
  return {run: paths.run, stages: outcome, ...resultsOf(store, standing)};
}

/** Whatever sources are unpacked to lies in the home: it may have been cleared away, or have moved with it. */
async function unpackSources({sources, store, signal}: RunContext): Promise<void> {
  for (const source of sources) await (await source.open()).unpack?.(signal);
  await settleRoots({sources, store});
}
