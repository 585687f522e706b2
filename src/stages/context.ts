/** What every stage works with: the run's config, paths and state, and the two children ready to take tasks. */
import {availableParallelism, hostname} from 'node:os';
import path from 'node:path';
import {runChild, type Stop} from '../children/child.js';
import {runPastCulprits} from '../children/past-culprits.js';
import {PROTOCOL, type ChildEvent, type Culprit, type Decoding, type DecodingTask, type Precautions, type TaskName, type TaskOf, type TaskResult} from '../children/protocol.js';
import {isRecentTorch, OLDEST_TORCH, setupCommand} from '../children/python-env.js';
import {trainerCommand, type Processes} from '../children/trainer.js';
import {workerCommand} from '../children/worker.js';
import {type Config} from '../config/schema.js';
import {checkSizes, imageSizes} from '../config/rules.js';
import {ChildError, UserError} from '../errors.js';
import type {Emit, Event, StageName} from '../events.js';
import type {RunPaths} from '../home.js';
import type {Store} from '../store/open.js';
import {refuseForeignFolders} from './run-folders.js';
import {recogniseSources, type RunSource} from './sources.js';

export interface RunContext {
  readonly config: Config;
  readonly paths: RunPaths;
  readonly home: string;
  readonly store: Store;
  readonly stop: Stop;
  readonly signal: AbortSignal;
  readonly emit: Emit;
  /** The trainer's interpreter; null while only looking. */
  readonly python: string | null;
  /** `cpu` or `cuda:N`, already proved. */
  readonly device: string;
  readonly threads: number;
  /** Those that train together; one until the device is proved. */
  readonly processes: Processes;
  /** The devices on which scoring runs side by side, an image worker each; the device alone until it is proved. */
  readonly scorers: readonly string[];
  readonly sources: readonly RunSource[];
  /** Side of the network's input, and of the resized picture before the centre crop; pixels. */
  readonly size: number;
  readonly resize: number;
}

/** CPU threads for training and for decoding. */
export const threadsOf = (config: Config): number => (config.limits.threads === 'auto' ? availableParallelism() : config.limits.threads);

/** The processes that train together, `gpus` being those that each host has for them; null where it works on its CPU. */
function processesOf({train: {processes, hosts, address}}: Config, gpus: number | null): Processes {
  return {count: processes === 'auto' ? (gpus ?? 1) : processes, hosts, address: address === 'auto' ? `${hostname()}:29400` : address};
}

/** How bytes become pixels in this run. */
export function decodingOf({config: {limits}, size, resize}: Pick<RunContext, 'config' | 'size' | 'resize'>): Decoding {
  return {
    size,
    resize,
    shrinkOnLoad: false,
    formats: limits.formats,
    maxFileBytes: limits.max_file_mb * 1_000_000,
    maxPixels: limits.max_megapixels * 1_000_000,
    timeoutSeconds: limits.decode_seconds,
  };
}

/** Where a task's events belong. */
interface Of {
  readonly stage: StageName;
  /** Names the part where a stage runs several tasks: `packing test`. */
  readonly part: string;
  /** For the events that only this task's caller understands. */
  readonly onEvent?: (event: ChildEvent) => void;
  /** See ChildOptions. */
  readonly limit?: {readonly seconds: number; readonly message: string};
}

/** Gives the trainer a task and waits for its result. */
export function runTrainer<Name extends TaskName>(context: RunContext, task: TaskOf<Name>, of: Of & {readonly processes?: Processes}): Promise<TaskResult<Name>> {
  if (context.python === null) throw new Error('The trainer was given a task in a context that only looks.');
  return runChild<Name>(trainerCommand(context.python, of.processes), task, {
    attempt: attemptFolder(context, of),
    stop: context.stop,
    onEvent: translate(context, of),
    ...(of.limit && {limit: of.limit}),
  });
}

/** Gives an image worker a task, and a descriptor a line on its stdin, and waits for its result. */
export function runWorker<Name extends TaskName>(
  context: RunContext,
  task: TaskOf<Name>,
  of: Of & {readonly lines?: Iterable<object> | AsyncIterable<object>},
): Promise<TaskResult<Name>> {
  const device = 'device' in task && typeof task.device === 'string' ? task.device : 'cpu';
  return runChild<Name>(workerCommand({threads: Math.max(context.threads, 'layout' in task ? task.layout.decodeThreads : 0), device, python: context.python}), task, {
    attempt: attemptFolder(context, of),
    stop: context.stop,
    onEvent: translate(context, of),
    ...(of.lines && {lines: of.lines}),
  });
}

/** Gives an image worker a task in which strangers' pictures are decoded: those that a decoder dies of or hangs in are told and set aside, the rest is done. */
export function runDecoder<Name extends DecodingTask>(
  context: RunContext,
  task: (precautions: Precautions) => TaskOf<Name>,
  of: Of & {
    readonly decoding: Decoding;
    /** The lines that are left to do, anew for each attempt. */
    readonly lines: () => Iterable<object> | AsyncIterable<object>;
    readonly onCulprit: (culprit: Culprit) => void;
  },
): Promise<TaskResult<Name>> {
  return runPastCulprits({
    attempt: attemptFolder(context, of),
    run: precautions => runWorker<Name>(context, task(precautions), {...of, lines: of.lines()}),
    decode: (pictures, precautions) => runWorker<'decode'>(context, {protocol: PROTOCOL, task: 'decode', decoding: of.decoding, precautions}, {...of, lines: pictures}),
    pictureOf(key) {
      const {id, file, offset, length, encoding} = context.store.images.byId(key)!;
      return {id, file, offset, length, encoding};
    },
    onCulprit: of.onCulprit,
  });
}

const attemptFolder = ({paths}: RunContext, {stage, part}: Of): string => path.join(paths.attempts, part === '' ? stage : `${stage}-${part.replaceAll(' ', '-')}`);

/** A child's event as the run's: the same facts, with the stage they belong to. */
function translate({emit}: RunContext, {stage, part, onEvent}: Of): (event: ChildEvent) => void {
  return event => {
    const translated = ofStage(event, stage, part);
    if (translated) emit(translated);
    else onEvent?.(event);
  };
}

function ofStage(event: ChildEvent, stage: StageName, part: string): Event | null {
  switch (event.type) {
    case 'hello':
      return {type: 'device', stage, part, device: event.device, runtime: event.runtime};
    case 'progress':
    case 'begun':
    case 'step':
    case 'evaluated':
    case 'checkpoint':
      return {...event, stage, part};
    case 'note':
      return {type: 'note', stage, message: event.message};
    default:
      return null;
  }
}

/** The context of a run before its device is proved; sources are recognised, nothing is started. */
export async function contextFor(
  config: Config,
  {paths, store, stop, emit}: Pick<RunContext, 'paths' | 'store' | 'stop' | 'emit'>,
): Promise<RunContext> {
  const sources = await recogniseSources(config, paths, stop.requested);
  refuseForeignFolders(paths, config, sources);
  const labelled = sources.find(source => source.role === 'labelled');
  const {size, resize} = imageSizes(config, labelled?.spec.kind === 'cifar10' || labelled?.spec.kind === 'cifar100');
  checkSizes(config, {size, resize});
  return {config, paths, home: paths.home, store, stop, signal: stop.requested, emit, python: null, device: config.device, threads: threadsOf(config), processes: processesOf(config, null), scorers: [config.device], sources, size, resize};
}

/** Proves that the trainer runs on this interpreter. Throws (exit 4) where it does not. */
export async function provePython(python: string, options: {readonly attempt: string; readonly stop: Stop}): Promise<void> {
  const {runtime} = await runChild<'probe'>(trainerCommand(python), {protocol: PROTOCOL, task: 'probe', device: 'cpu'}, {...options, onEvent: () => {}});
  requireRecentTorch(python, runtime);
}

function requireRecentTorch(python: string, runtime: string): void {
  if (isRecentTorch(runtime)) return;
  throw new UserError('NOT_SET_UP', `${python} has ${runtime}; torch ${OLDEST_TORCH} or newer is needed. Run ${setupCommand} for an environment of pupil's own, or name another with --python.`);
}

/**
 * The context with a device that both children were seen to work on. `auto` takes a GPU where both can use it, and says what
 * stood in the way where only one can. Throws (exit 4) where what was asked for is not there.
 */
export async function withDevice(looking: RunContext, python: string): Promise<RunContext> {
  const context = {...looking, python};
  const {config, emit} = context;
  const asked = config.device === 'cuda' ? 'cuda:0' : config.device;
  const probe = await runTrainer<'probe'>(context, {protocol: PROTOCOL, task: 'probe', device: asked}, {stage: 'prepare', part: 'python'});
  requireRecentTorch(python, probe.runtime);
  const on = (device: string): RunContext => {
    requirePrecision(config, device);
    if (asked === 'auto') emit({type: 'note', stage: null, message: `device auto is ${device}${device === probe.device ? ` (${probe.deviceName})` : ''}`});
    return {...context, device, processes: provedProcesses(config, device, probe), scorers: scorersOf(config, device, probe)};
  };
  if (!probe.device.startsWith('cuda')) return on(probe.device);
  try {
    await runWorker<'probe'>(context, {protocol: PROTOCOL, task: 'probe', device: probe.device}, {stage: 'prepare', part: 'onnxruntime'});
    return on(probe.device);
  } catch (error) {
    if (asked !== 'auto' || !(error instanceof ChildError)) throw error;
    emit({type: 'warning', stage: null, message: `Working on the CPU: PyTorch sees ${probe.deviceName}, but onnxruntime cannot use it (${error.message}). See pupil doctor.`});
    return on('cpu');
  }
}

/** How many GPUs there are from this one on; null for a CPU. */
function gpusFrom(device: string, several: TaskResult<'probe'>['several']): number | null {
  const first = /^cuda:(\d+)$/.exec(device)?.[1];
  return first === undefined ? null : (several?.gpus ?? 1) - Number(first);
}

/** The devices for score.workers: the GPUs from the run's on, or as many times the CPU. Throws (exit 4) where there are not so many. */
function scorersOf({score: {workers}}: Config, device: string, {several}: Pick<TaskResult<'probe'>, 'several'>): readonly string[] {
  const gpus = gpusFrom(device, several);
  const count = workers === 'auto' ? (gpus ?? 1) : workers;
  if (gpus === null) return Array.from({length: count}, () => device);
  if (count > gpus) throw new UserError('UNFIT_DEVICE', `score.workers is ${count}, but from ${device} on there ${gpus === 1 ? 'is 1 GPU' : `are ${gpus} GPUs`} here. Set score.workers to ${gpus} or auto.`);
  const first = Number(device.replace('cuda:', ''));
  return Array.from({length: count}, (_, index) => `cuda:${first + index}`);
}

/** The processes that this machine has a device for each of, and the means to talk to each other. Throws (exit 4) where it has not. */
function provedProcesses(config: Config, device: string, {several}: Pick<TaskResult<'probe'>, 'several'>): Processes {
  const gpus = gpusFrom(device, several);
  const processes = processesOf(config, gpus);
  if (gpus !== null && processes.count > gpus) {
    throw new UserError('UNFIT_DEVICE', `train.processes is ${processes.count}, but from ${device} on there ${gpus === 1 ? 'is 1 GPU' : `are ${gpus} GPUs`} here. Set train.processes to ${gpus} or auto.`);
  }
  const needed = gpus === null ? ['gloo'] : ['gloo', 'nccl'];
  const missing = needed.filter(name => !several?.backends.includes(name));
  if (processes.count * processes.hosts > 1 && missing.length > 0) {
    throw new UserError('UNFIT_DEVICE', `Several processes cannot train together here: this torch has no ${missing.join(' and no ')}. Set train.processes and train.hosts to 1, or take another build of torch with --python.`);
  }
  return processes;
}

/** Refuses, before anything is trained, a precision of scoring that the device has no use for. Throws (exit 4). */
function requirePrecision({score: {precision}}: Config, device: string): void {
  const onGpu = device.startsWith('cuda');
  if (precision === 'fp16' && !onGpu) throw new UserError('UNFIT_DEVICE', `score.precision is fp16, with which CPUs are slow, and the device is ${device}. Set it to int8 or auto.`);
  if (precision === 'int8' && onGpu) throw new UserError('UNFIT_DEVICE', `score.precision is int8, which is for CPUs, and the device is ${device}. Set it to fp16 or auto.`);
}
