/** What the end of a child means: its result, or a typed error that tells why there is none. */
import {ChildError, Interrupted, throwIfStopped, type ErrorCode} from '../errors.js';
import type {Heard} from './child-events.js';
import type {ChildLog} from './child-log.js';
import type {ProcessEnd} from './child-process.js';
import {taskResults, type FailureReason, type Json, type TaskName, type TaskOf, type TaskResult} from './protocol.js';
import {setupCommand} from './python-env.js';

/**
 * A child's exit code for a stop that was asked for. Several processes that are stopped before they met have nothing to
 * say about it.
 */
const INTERRUPTED = 75;

const codeOf: Record<FailureReason, ErrorCode> = {
  config: 'BUG',
  data: 'BAD_DATA',
  model: 'BAD_MODEL',
  'out-of-memory': 'OUT_OF_MEMORY',
  device: 'UNFIT_DEVICE',
  'disk-full': 'DISK_FULL',
  'process-lost': 'CHILD_FAILED',
  stuck: 'CHILD_STUCK',
  diverged: 'TRAINING_DIVERGED',
  gate: 'CHECK_FAILED',
  bug: 'BUG',
};

/** How a child ended, and what it said before. */
export interface ChildEnd extends ProcessEnd, Heard {
  /** How people call it, and the program that it is. */
  readonly name: string;
  readonly file: string;
  readonly log: Pick<ChildLog, 'tail' | 'ranOutOfMemory'>;
}

/**
 * Success is exit code 0 and a `finished` event whose result has the task's shape. Throws Interrupted where the stop
 * was asked for, ChildError otherwise: with the child's own reason where it gave one, else with the last lines of its
 * log.
 */
export function resultOf<Name extends TaskName>(
  task: TaskOf<Name>,
  end: ChildEnd,
  stop: AbortSignal,
): TaskResult<Name> {
  const {name, file, exitCode, signal, fault, greeted, last, protocolErrors, log} = end;
  const fail = (code: ErrorCode, message: string, options?: {killedBy?: NodeJS.Signals; reason?: string}) =>
    new ChildError(code, message, log.tail, options);
  // A stack is of use for a bug only.
  if (last?.type === 'failed')
    throw new ChildError(last.code ?? codeOf[last.reason], last.message, last.reason === 'bug' ? log.tail : [], {
      reason: last.reason,
    });
  throwIfStopped(stop);
  // Not by us: whoever stops a whole group of processes sends the signal to the child, too.
  if (last?.type === 'interrupted' || (last === undefined && exitCode === INTERRUPTED))
    throw new Interrupted('SIGTERM');
  // It had said all, and was only held up.
  const wasOverdue = last !== undefined && signal === 'SIGKILL';
  if (signal !== undefined && !wasOverdue) {
    if (log.ranOutOfMemory()) {
      throw fail(
        'OUT_OF_MEMORY',
        `The ${name} got no more memory. ${memoryAdvice(task)}, close other programs, or raise the limit where one is set (ulimit -v).`,
        {killedBy: signal, reason: 'out-of-memory'},
      );
    }
    if (signal !== 'SIGKILL') throw fail('BUG', `The ${name} was killed by ${signal}.`, {killedBy: signal});
    throw fail(
      'OUT_OF_MEMORY',
      `The ${name} was killed by SIGKILL, probably because memory ran out. ${memoryAdvice(task)}, or close other programs.`,
      {killedBy: signal},
    );
  }
  if (protocolErrors.length > 0) throw fail('BUG', `The ${name} ${protocolErrors[0]}.`);
  if (exitCode === undefined && !wasOverdue)
    throw fail('CHILD_FAILED', `The ${name} could not be started: ${fault ?? file}.`);
  if (!greeted)
    throw fail(
      'NOT_SET_UP',
      `${file} does not run the ${name}: it ended with exit code ${exitCode} before a word. See pupil doctor, and mend it with ${setupCommand}.`,
    );
  if (last?.type !== 'finished' || (exitCode !== 0 && !wasOverdue))
    throw fail('BUG', `The ${name} ended with exit code ${exitCode} and without a result.`);
  return parsed(task.task, last.result, message =>
    fail('BUG', `The ${name} gave a result of the wrong shape for ${task.task}: ${message}`),
  );
}

function parsed<Name extends TaskName>(name: Name, result: Json, refuse: (message: string) => Error): TaskResult<Name> {
  const parsed = taskResults[name].safeParse(result);
  if (!parsed.success) throw refuse(parsed.error.message);
  // The schema was looked up under `name`; TypeScript cannot follow that through the index.
  return parsed.data as TaskResult<Name>;
}

/** The key to lower where memory ran out, and to what where the task has a batch of its own. */
function memoryAdvice(task: TaskOf<TaskName>): string {
  const key =
    task.task === 'train' || task.task === 'evaluate' || task.task === 'speed'
      ? 'train.batch_size'
      : 'score.batch_size';
  const {batchSize: size} = 'layout' in task ? task.layout : 'batchSize' in task ? task : {batchSize: null};
  return size === null || size < 4
    ? 'Lower train.batch_size or score.batch_size'
    : `Set ${key} to ${Math.floor(size / 2)}, half of what it is`;
}
