/** Gives the two children their tasks, and their events to the run. */
import path from 'node:path';
import type {Executor} from '../children/executor.js';
import {runPastCulprits} from '../children/past-culprits.js';
import {
  PROTOCOL,
  type ChildEvent,
  type Culprit,
  type DecodeItem,
  type Decoding,
  type DecodingTask,
  type Precautions,
  type TaskName,
  type TaskOf,
  type TaskResult,
} from '../children/protocol.js';
import type {Processes} from '../children/trainer.js';
import type {Event, StageName} from '../events.js';
import type {StageContext} from './context.js';

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
export function runTrainer<Name extends TaskName>(
  context: StageContext,
  task: TaskOf<Name>,
  of: Of & {readonly processes?: Processes},
): Promise<TaskResult<Name>> {
  if (context.python === null) throw new Error('The trainer was given a task in a context that only looks.');
  const trainer = {name: 'trainer', python: context.python, processes: of.processes} as const;
  return executorOf(context).run<Name>(trainer, task, {
    attempt: attemptFolder(context, of),
    stop: context.stop,
    onEvent: translate(context, of),
    ...(of.limit && {limit: of.limit}),
  });
}

/** Gives an image worker a task, and a descriptor a line on its stdin, and waits for its result. */
export function runWorker<Name extends TaskName>(
  context: StageContext,
  task: TaskOf<Name>,
  of: Of & {readonly lines?: Iterable<object> | AsyncIterable<object>},
): Promise<TaskResult<Name>> {
  return executorOf(context).run<Name>(
    {
      name: 'worker',
      threads: Math.max(context.threads, 'layout' in task ? task.layout.decodeThreads : 0),
      device: 'device' in task && typeof task.device === 'string' ? task.device : 'cpu',
      python: context.python,
    },
    task,
    {
      attempt: attemptFolder(context, of),
      stop: context.stop,
      onEvent: translate(context, of),
      ...(of.lines && {lines: of.lines}),
    },
  );
}

/**
 * Gives an image worker a task in which strangers' pictures are decoded: those that a decoder dies of or hangs in are
 * told and set aside, the rest is done.
 */
export function runDecoder<Name extends DecodingTask>(
  context: StageContext,
  task: (precautions: Precautions) => TaskOf<Name>,
  of: Of & {
    readonly decoding: Decoding;
    /** The lines that are left to do, anew for each attempt. */
    readonly lines: () => Iterable<object> | AsyncIterable<object>;
    readonly onCulprit: (culprit: Culprit) => void;
    /** A picture of the task by its id. */
    readonly pictureOf: (id: string) => DecodeItem | null;
  },
): Promise<TaskResult<Name>> {
  return runPastCulprits({
    attempt: attemptFolder(context, of),
    run: precautions => runWorker<Name>(context, task(precautions), {...of, lines: of.lines()}),
    decode: (pictures, precautions) =>
      runWorker<'decode'>(
        context,
        {protocol: PROTOCOL, task: 'decode', decoding: of.decoding, precautions},
        {...of, lines: pictures},
      ),
    pictureOf(key) {
      const found = of.pictureOf(key);
      if (found === null) throw new Error(`The image worker was stopped by ${key}, which is no picture of its task.`);
      const {id, file, offset, length, encoding} = found;
      return {id, file, offset, length, encoding};
    },
    onCulprit: of.onCulprit,
  });
}

export function executorOf({executor}: Pick<StageContext, 'executor'>): Executor {
  if (executor === null) throw new Error('A task was given in a context that only looks.');
  return executor;
}

const attemptFolder = ({paths}: StageContext, {stage, part}: Of): string =>
  path.join(paths.attempts, part === '' ? stage : `${stage}-${part.replaceAll(' ', '-')}`);

/** A child's event as the run's: the same facts, with the stage they belong to. */
function translate({emit}: StageContext, {stage, part, onEvent}: Of): (event: ChildEvent) => void {
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
