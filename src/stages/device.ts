/** Proves the interpreter and the device that a run was asked for: nothing is begun on what does not work. */
import type {Stop} from '../children/child.js';
import type {Executor} from '../children/executor.js';
import {PROTOCOL, type TaskResult} from '../children/protocol.js';
import {isRecentTorch, OLDEST_TORCH, setupCommand} from '../children/python-env.js';
import type {Processes} from '../children/trainer.js';
import type {Config} from '../config/schema.js';
import {ChildError, UserError} from '../errors.js';
import {processesOf, type RunContext} from './context.js';
import {runTrainer, runWorker} from './tasks.js';

/** Proves that the trainer runs on this interpreter. Throws (exit 4) where it does not. */
export async function provePython(
  python: string,
  {executor, ...options}: {readonly executor: Executor; readonly attempt: string; readonly stop: Stop},
): Promise<void> {
  const {runtime} = await executor.run<'probe'>(
    {name: 'trainer', python},
    {protocol: PROTOCOL, task: 'probe', device: 'cpu'},
    {...options, onEvent: () => {}},
  );
  requireRecentTorch(python, runtime);
}

function requireRecentTorch(python: string, runtime: string): void {
  if (isRecentTorch(runtime)) return;
  throw new UserError(
    'NOT_SET_UP',
    `${python} has ${runtime}; torch ${OLDEST_TORCH} or newer is needed. Run ${setupCommand} for an environment of pupil's own, or name another with --python.`,
  );
}

/**
 * The context with a device that both children were seen to work on. `auto` takes a GPU where both can use it, and says
 * what stood in the way where only one can. Throws (exit 4) where what was asked for is not there.
 */
export async function withDevice(looking: RunContext, python: string): Promise<RunContext> {
  const context = {...looking, python};
  const {config, emit} = context;
  const asked = config.device === 'cuda' ? 'cuda:0' : config.device;
  const probe = await runTrainer<'probe'>(
    context,
    {protocol: PROTOCOL, task: 'probe', device: asked},
    {stage: 'prepare', part: 'python'},
  );
  requireRecentTorch(python, probe.runtime);
  const on = (device: string): RunContext => {
    requirePrecision(config, device);
    if (asked === 'auto')
      emit({
        type: 'note',
        stage: null,
        message: `device auto is ${device}${device === probe.device ? ` (${probe.deviceName})` : ''}`,
      });
    return {
      ...context,
      device,
      processes: provedProcesses(config, device, probe),
      scorers: scorersOf(config, device, probe),
    };
  };
  if (!probe.device.startsWith('cuda')) return on(probe.device);
  try {
    await runWorker<'probe'>(
      context,
      {protocol: PROTOCOL, task: 'probe', device: probe.device},
      {stage: 'prepare', part: 'onnxruntime'},
    );
    return on(probe.device);
  } catch (error) {
    if (asked !== 'auto' || !(error instanceof ChildError)) throw error;
    emit({
      type: 'warning',
      stage: null,
      message: `Working on the CPU: PyTorch sees ${probe.deviceName}, but onnxruntime cannot use it (${error.message}). See pupil doctor.`,
    });
    return on('cpu');
  }
}

/** How many GPUs there are from this one on; null for a CPU. */
function gpusFrom(device: string, several: TaskResult<'probe'>['several']): number | null {
  const first = /^cuda:(\d+)$/.exec(device)?.[1];
  return first === undefined ? null : (several?.gpus ?? 1) - Number(first);
}

/**
 * The devices for score.workers: the GPUs from the run's on, or as many times the CPU. Throws (exit 4) where there are
 * not so many.
 */
function scorersOf(
  {score: {workers}}: Config,
  device: string,
  {several}: Pick<TaskResult<'probe'>, 'several'>,
): readonly string[] {
  const gpus = gpusFrom(device, several);
  const count = workers === 'auto' ? (gpus ?? 1) : workers;
  if (gpus === null) return Array.from({length: count}, () => device);
  if (count > gpus)
    throw new UserError(
      'UNFIT_DEVICE',
      `score.workers is ${count}, but from ${device} on there ${gpus === 1 ? 'is 1 GPU' : `are ${gpus} GPUs`} here. Set score.workers to ${gpus} or auto.`,
    );
  const first = Number(device.replace('cuda:', ''));
  return Array.from({length: count}, (_, index) => `cuda:${first + index}`);
}

/**
 * The processes that this machine has a device for each of, and the means to talk to each other. Throws (exit 4) where
 * it has not.
 */
function provedProcesses(config: Config, device: string, {several}: Pick<TaskResult<'probe'>, 'several'>): Processes {
  const gpus = gpusFrom(device, several);
  const processes = processesOf(config, gpus);
  if (gpus !== null && processes.count > gpus) {
    throw new UserError(
      'UNFIT_DEVICE',
      `train.processes is ${processes.count}, but from ${device} on there ${gpus === 1 ? 'is 1 GPU' : `are ${gpus} GPUs`} here. Set train.processes to ${gpus} or auto.`,
    );
  }
  const needed = gpus === null ? ['gloo'] : ['gloo', 'nccl'];
  const missing = needed.filter(name => !several?.backends.includes(name));
  if (processes.count * processes.hosts > 1 && missing.length > 0) {
    throw new UserError(
      'UNFIT_DEVICE',
      `Several processes cannot train together here: this torch has no ${missing.join(' and no ')}. Set train.processes and train.hosts to 1, or take another build of torch with --python.`,
    );
  }
  return processes;
}

/** Refuses, before anything is trained, a precision of scoring that the device has no use for. Throws (exit 4). */
function requirePrecision({score: {precision}}: Config, device: string): void {
  const onGpu = device.startsWith('cuda');
  if (precision === 'fp16' && !onGpu)
    throw new UserError(
      'UNFIT_DEVICE',
      `score.precision is fp16, with which CPUs are slow, and the device is ${device}. Set it to int8 or auto.`,
    );
  if (precision === 'int8' && onGpu)
    throw new UserError(
      'UNFIT_DEVICE',
      `score.precision is int8, which is for CPUs, and the device is ${device}. Set it to fp16 or auto.`,
    );
}
