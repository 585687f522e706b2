/** Runs tasks in a child process: hands them over, follows their events, and stops them in two steps. */
import {mkdir, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {setImmediate} from 'node:timers/promises';
import {ChildError, throwIfStopped, UserError} from '../errors.js';
import {explainFault} from '../machine-fault.js';
import {resultOf} from './child-end.js';
import {listenTo} from './child-events.js';
import {openChildLog} from './child-log.js';
import {nobody, startProcess, type ChildCommand, type ChildProcess, type ProcessEnd} from './child-process.js';
import {feed} from './child-streams.js';
import {PROTOCOL, toWire, type ChildEvent, type TaskName, type TaskOf, type TaskResult} from './protocol.js';

/** The first signal asks a child to save and stop; the second ends it at once. */
export interface Stop {
  readonly requested: AbortSignal;
  readonly forced: AbortSignal;
}

export interface ChildOptions {
  /** A folder of this attempt's own, for its config and its log. */
  readonly attempt: string;
  readonly stop: Stop;
  readonly onEvent: (event: ChildEvent) => void;
  /** One descriptor a line on the child's stdin; taken no faster than the child reads. */
  readonly lines?: AsyncIterable<object> | Iterable<object>;
  /**
   * For a task on what a stranger made: a child that is not done by then is killed, and the message comes out as a
   * fault of the data.
   */
  readonly limit?: {readonly seconds: number; readonly message: string};
}

/** Does one task at a time. */
export interface Child {
  /**
   * Runs a task to its end and returns its result. Throws Interrupted where the stop was asked for, a ChildError for
   * every other end without a result, and what `onEvent` or `lines` throw: that stops the child.
   */
  readonly run: <Name extends TaskName>(task: TaskOf<Name>, options: ChildOptions) => Promise<TaskResult<Name>>;
  /** Ends its process where one stays. */
  readonly close: () => Promise<void>;
}

/** Time to end for a child that has said how it ended; an interpreter with large libraries takes seconds. */
const END_TIMEOUT_MS = 10_000;
/** Stands for the end of a process that has done its task and can take another. */
const doneAndReady: ProcessEnd = {exitCode: 0, signal: undefined, fault: undefined};

/** Runs one task in a process of its own; see Child. */
export async function runChild<Name extends TaskName>(
  command: ChildCommand,
  task: TaskOf<Name>,
  options: ChildOptions,
): Promise<TaskResult<Name>> {
  const child = openChild(command);
  try {
    return await child.run<Name>(task, options);
  } finally {
    await child.close();
  }
}

/** A child whose process starts with its first task and stays for the next where it can. The caller closes it. */
export function openChild(command: ChildCommand): Child {
  let staying: ChildProcess | null = null;
  const keep = (process: ChildProcess) => {
    staying = process;
    // Whatever ends it meanwhile, the next task gets another.
    void process.ended.finally(() => staying === process && (staying = null)).catch(() => {});
  };
  return {
    async run(task, options) {
      throwIfStopped(options.stop.requested);
      const config = await writeConfig(task, options.attempt);
      const process = staying ?? startProcess(command, command.stays ? [] : [config]);
      staying = null;
      try {
        const {result, stays} = await runTask(process, command, task, config, options);
        if (stays) keep(process);
        return result;
      } finally {
        if (staying === null) await endProcess(process);
      }
    },
    async close() {
      const process = staying;
      staying = null;
      if (process !== null) await endProcess(process);
    },
  };
}

async function writeConfig(task: TaskOf<TaskName>, attempt: string): Promise<string> {
  const file = path.join(attempt, `${task.task}.json`);
  try {
    await mkdir(attempt, {recursive: true});
    await writeFile(file, toWire(task));
  } catch (error) {
    throw explainFault(error, {path: file});
  }
  return file;
}

/** Lets a process end that is given no more tasks, and kills it where it does not. */
async function endProcess({stdin, ended, kill}: ChildProcess): Promise<void> {
  stdin.end();
  const overdue = setTimeout(() => kill('SIGKILL'), END_TIMEOUT_MS);
  await ended.finally(() => clearTimeout(overdue));
}

/** Runs a task in a process that has none, and tells whether that stays. */
async function runTask<Name extends TaskName>(
  process: ChildProcess,
  command: ChildCommand,
  task: TaskOf<Name>,
  config: string,
  {attempt, stop, onEvent, lines = [], limit}: ChildOptions,
): Promise<{result: TaskResult<Name>; stays: boolean}> {
  // Whoever listens or feeds may refuse to go on, as where too many pictures fail; the child is then stopped as by a
  // signal.
  const refusals: unknown[] = [];
  const refuse = (error: unknown) => {
    refusals.push(error);
    process.kill('SIGTERM');
  };
  const kill = () => process.kill('SIGKILL');
  const logFile = path.join(attempt, `${command.name}.log`);
  const log = openChildLog(logFile, error =>
    refuse(new UserError('NO_ACCESS', `Cannot write ${logFile} (${error.message}).`, {cause: error})),
  );
  // It has said how it ended, but something holds it up, such as a decoder in a thread that cannot be stopped.
  let overdue: NodeJS.Timeout | undefined;
  let setReady: (end: ProcessEnd) => void = () => {};
  const ready = new Promise<ProcessEnd>(resolve => (setReady = resolve));
  const {hear, heard} = listenTo(event => {
    if (event.type === 'hello' && event.protocol !== PROTOCOL)
      refuse(
        new ChildError('BUG', `The ${command.name} speaks protocol ${event.protocol}; expected ${PROTOCOL}.`, log.tail),
      );
    if (heard.last !== undefined) overdue ??= setTimeout(kill, END_TIMEOUT_MS);
    if (event.type === 'ready') setReady(doneAndReady);
    try {
      if (refusals.length === 0) onEvent(event);
    } catch (error) {
      refuse(error);
    }
  });
  const late =
    limit &&
    setTimeout(() => {
      refusals.push(new UserError('CHILD_STUCK', limit.message));
      kill();
    }, limit.seconds * 1000);
  const askToStop = () => process.kill('SIGTERM');
  stop.requested.addEventListener('abort', askToStop, {once: true});
  stop.forced.addEventListener('abort', kill, {once: true});
  // While the config was written.
  if (stop.requested.aborted) askToStop();
  process.listen({onEventLine: hear, onPrinted: log.keep});
  try {
    const feeding = feed(process.stdin, command.stays ? orders(config, lines) : descriptors(lines))
      .then(() => void (command.stays || process.stdin.end()))
      .catch(refuse);
    const end = await Promise.race([process.ended, ready]);
    // What it printed before lies in other pipes, and is read in the same turn.
    if (end === doneAndReady) await setImmediate();
    await feeding;
    if (refusals.length > 0) throw refusals[0];
    const {name, file} = command;
    const result = resultOf<Name>(task, {name, file, ...end, ...heard, log}, stop.requested);
    return {result, stays: end === doneAndReady};
  } finally {
    process.listen(nobody);
    clearTimeout(overdue);
    clearTimeout(late);
    stop.requested.removeEventListener('abort', askToStop);
    stop.forced.removeEventListener('abort', kill);
    await log.close();
  }
}

async function* descriptors(lines: NonNullable<ChildOptions['lines']>): AsyncGenerator<string> {
  for await (const line of lines) yield toWire(line);
}

/** All that a process which stays is told of a task. */
async function* orders(config: string, lines: NonNullable<ChildOptions['lines']>): AsyncGenerator<string> {
  yield JSON.stringify(config);
  yield* descriptors(lines);
  yield '';
}
