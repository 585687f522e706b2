/** `pupil orchestrate`: takes the run's lock, refuses changed inputs, runs what is stale, and says what came out. */
import {hostname} from 'node:os';
import type {Stop} from '../children/child.js';
import {findPython} from '../children/python-env.js';
import {readConfig, type Config, type ConfigFlags} from '../config.js';
import {busyError, dataError, exitCodeFor, UserError} from '../errors.js';
import type {Emit, Event, Results, SelectionCounts} from '../events.js';
import {runPaths, type RunPaths} from '../home.js';
import {inspect, runStages, type Wanted} from '../pipeline/run.js';
import {table} from '../report/table.js';
import {jsonView, viewFor} from '../report/terminal.js';
import {contextFor, threadsOf, withDevice, type RunContext} from '../stages/context.js';
import {drawDemoPictures} from '../stages/demo-pictures.js';
import type {EvaluateSummary} from '../stages/evaluate.js';
import {stages} from '../stages/index.js';
import {archiveRun, changedInputs} from '../stages/inputs.js';
import {takeLock} from '../store/lock.js';
import {openStore, openStoreToRead, type Store} from '../store/open.js';
import {duration, percent} from '../words.js';
import {dryRun} from './dry-run.js';
import {explainFault} from './machine-fault.js';

export interface OrchestrateFlags extends ConfigFlags, Wanted {
  readonly home: string;
  readonly python?: string | undefined;
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly acceptChange: boolean;
}

export async function orchestrate(flags: OrchestrateFlags, stop: Stop): Promise<void> {
  const started = performance.now();
  const config = readConfig(flags, flags.home);
  const paths = runPaths(flags.home, config.run);
  if (flags.dryRun) return await dryRun(config, paths, flags, stop);

  const view = flags.json ? jsonView(process.stdout) : viewFor(process.stderr);
  const lock = takeLock(paths.lock);
  if (lock === null) throw busyError(holderOf(paths));
  let store: Store | null = null;
  try {
    store = openStore(paths.database);
    let context = await openContext(store, config, paths, flags, stop, view.emit);
    const change = await changedInputs(context);
    if (change !== null) {
      refuseUnlessAccepted(change, flags, paths);
      store.close();
      const archived = await archiveRun(paths);
      store = openStore(paths.database);
      context = await openContext(store, config, paths, flags, stop, view.emit);
      context.emit({type: 'note', stage: null, message: `the data changed; the earlier run is kept as ${archived}`});
    }
    store.run.setConfig(JSON.stringify(config));
    const done = await runWhatIsStale(context, flags, started);
    view.emit(done);
    view.close();
    if (!flags.json) process.stdout.write(`${verdictTable(done, paths)}\n`);
  } catch (thrown) {
    const error = explainFault(thrown, paths);
    // People read the error at the end; a script finds it on the last line of its stream.
    if (flags.json) view.emit({type: 'failed', exitCode: exitCodeFor(error), message: error instanceof Error ? error.message : String(error)});
    throw error;
  } finally {
    view.close();
    store?.close();
    lock.release();
  }
}

function holderOf({run, database}: RunPaths): string {
  let who = 'another process';
  try {
    const store = openStoreToRead(database);
    const holder = store?.run.holder();
    if (holder) who = `process ${holder.pid} on ${holder.host}, since ${holder.since}`;
    store?.close();
  } catch (error) {
    // Where it has only just begun, its database is still empty.
    if (!(error instanceof UserError)) throw error;
  }
  return `Run ${run} is being worked on by ${who}. Wait for it, or use another name (--run NAME).`;
}

/** Marks the run as ours, draws what a preset brings, and recognises the sources. */
async function openContext(store: Store, config: Config, paths: RunPaths, flags: OrchestrateFlags, stop: Stop, emit: Emit): Promise<RunContext> {
  store.run.take(paths.run, {pid: process.pid, host: hostname(), since: new Date().toISOString()});
  if (flags.preset === 'demo') await drawDemoPictures({paths, threads: threadsOf(config), stop, emit});
  const emitAndKeep: Emit = event => {
    if (isKept(event)) store.events.add(event);
    emit(event);
  };
  return await contextFor(config, {paths, store, stop, emit: emitAndKeep});
}

function refuseUnlessAccepted(change: string, {acceptChange}: OrchestrateFlags, {run}: RunPaths): void {
  if (acceptChange) return;
  throw dataError(
    `Run ${run} was made from other data:\n  ${change}\n` +
      `Nothing was touched. Put the data back, use another name (--run NAME), or start a new version with --accept-change (the old one is kept under ${run}@1 or the next free number).`,
  );
}

/** Progress is only for the moment; all else is kept. */
const isKept = (event: Event): boolean => event.type !== 'progress';

async function runWhatIsStale(context: RunContext, flags: OrchestrateFlags, started: number): Promise<Extract<Event, {type: 'done'}>> {
  const {store, paths, emit, config} = context;
  emit({type: 'started', run: paths.run, home: paths.home, device: config.device});
  const plan = await inspect(stages, context, {restamp: true, wanted: flags});
  // Python and the device are proved before any work, and not at all where there is none.
  const ready = plan.every(({wanted, verdict}) => !wanted || verdict.fresh) ? context : await withDevice(context, findPython(flags.python));
  const outcome = await runStages(stages, ready, flags);
  const evaluated = store.stages.read('evaluate');
  const selected = store.stages.read('select');
  return {
    type: 'done',
    run: paths.run,
    seconds: (performance.now() - started) / 1000,
    stages: outcome,
    // Written by those stages in these shapes; null while they are not done.
    results: evaluated?.status === 'done' ? (evaluated.summary as EvaluateSummary).results : null,
    selection: selected?.status === 'done' ? selectionCounts(selected.summary as SelectionCounts) : null,
  };
}

const selectionCounts = ({classes, topP, topK, scored, candidates, selected, shortClasses}: SelectionCounts): SelectionCounts => ({
  classes,
  topP,
  topK,
  scored,
  candidates,
  selected,
  shortClasses,
});

const rowNames: [keyof Results, string][] = [
  ['teacher', 'teacher'],
  ['supervised', 'supervised, as many steps as the student'],
  ['studentPretrained', 'student, pre-trained'],
  ['student', 'student, fine-tuned'],
];

function verdictTable({results, seconds, stages: outcome}: Extract<Event, {type: 'done'}>, {run, report}: RunPaths): string {
  const ran = Object.entries(outcome).filter(([, {status}]) => status === 'ran');
  const lines = [`${run}: ${ran.length === 0 ? 'nothing to do' : `${ran.map(([name]) => name).join(', ')} ran`} in ${duration(seconds)}`];
  if (results !== null) {
    const rows = rowNames.flatMap(([key, name]) => {
      const accuracy = results[key];
      return accuracy === null ? [] : [[name, percent(accuracy.top1), percent(accuracy.top5)]];
    });
    lines.push('', table(['', 'top-1', 'top-5'], rows, {align: ['left', 'right', 'right']}), '', `Report: ${report}`);
  }
  return lines.join('\n');
}
