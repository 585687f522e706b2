/** Runs one task in a child process: starts it, follows its events on fd 3, and stops it in two steps. */
import {mkdir, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {execa} from 'execa';
import {ChildError, throwIfStopped, UserError} from '../errors.js';
import {explainFault} from '../machine-fault.js';
import {resultOf, type ChildEnd} from './child-end.js';
import {openChildLog} from './child-log.js';
import {feed, readLines} from './child-streams.js';
import {allowedEnvironment} from './environment.js';
import {
  childEvent,
  fromWire,
  PROTOCOL,
  toWire,
  type ChildEvent,
  type TaskName,
  type TaskOf,
  type TaskResult,
} from './protocol.js';

/** The first signal asks a child to save and stop; the second ends it at once. */
export interface Stop {
  readonly requested: AbortSignal;
  readonly forced: AbortSignal;
}

export interface ChildCommand {
  /** How people call the child: `trainer`, `worker`. */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
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

/** Time to save a checkpoint of a large model before a stopping child is killed. */
const STOP_TIMEOUT_MS = 60_000;
/** Time to end for a child that has said how it ended; an interpreter with large libraries takes seconds. */
const END_TIMEOUT_MS = 10_000;
/**
 * onnxruntime would otherwise send the names and hashes of models to its makers, and keep an id of this machine in the
 * user's cache folder.
 */
const nothingSent = {ORT_DISABLE_TELEMETRY: '1'};

/**
 * Runs a task to its end and returns its result. Throws Interrupted where the stop was asked for, a ChildError for
 * every other end without a result, and what `onEvent` or `lines` throw: that stops the child.
 */
export async function runChild<Name extends TaskName>(
  command: ChildCommand,
  task: TaskOf<Name>,
  {attempt, stop, onEvent, lines, limit}: ChildOptions,
): Promise<TaskResult<Name>> {
  throwIfStopped(stop.requested);
  const configFile = path.join(attempt, `${task.task}.json`);
  try {
    await mkdir(attempt, {recursive: true});
    await writeFile(configFile, toWire(task));
  } catch (error) {
    throw explainFault(error, {path: configFile});
  }
  // Whoever listens or feeds may refuse to go on, as where too many pictures fail; the child is then stopped as by a
  // signal.
  const refusals: unknown[] = [];
  const refuse = (error: unknown) => {
    refusals.push(error);
    child.kill('SIGTERM');
  };
  const logFile = path.join(attempt, `${command.name}.log`);
  const log = openChildLog(logFile, error =>
    refuse(new UserError('NO_ACCESS', `Cannot write ${logFile} (${error.message}).`, {cause: error})),
  );
  const child = execa(command.file, [...command.args, configFile], {
    cwd: command.cwd,
    env: {...allowedEnvironment(process.env), ...nothingSent, ...command.env},
    extendEnv: false,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    buffer: false,
    reject: false,
    cancelSignal: stop.requested,
    killSignal: 'SIGTERM',
    forceKillAfterDelay: STOP_TIMEOUT_MS,
    // A child outlives a dying parent only as long as it takes it to notice; see the children's own watch.
    cleanup: true,
  });
  const kill = () => child.kill('SIGKILL');
  stop.forced.addEventListener('abort', kill, {once: true});
  const late =
    limit &&
    setTimeout(() => {
      refusals.push(new UserError('CHILD_STUCK', limit.message));
      kill();
    }, limit.seconds * 1000);
  // It has said how it ended, but something holds it up, such as a decoder in a thread that cannot be stopped.
  let overdue: NodeJS.Timeout | undefined;

  let greeted = false;
  let last: ChildEnd['last'];
  const protocolErrors: string[] = [];
  const take = (line: string) => {
    const event = eventIn(line, problem => protocolErrors.push(problem));
    if (event === null) return;
    greeted ||= event.type === 'hello';
    if (event.type === 'hello' && event.protocol !== PROTOCOL)
      refuse(
        new ChildError('BUG', `The ${command.name} speaks protocol ${event.protocol}; expected ${PROTOCOL}.`, log.tail),
      );
    if (event.type === 'finished' || event.type === 'failed' || event.type === 'interrupted') {
      last = event;
      overdue ??= setTimeout(kill, END_TIMEOUT_MS);
    }
    try {
      if (refusals.length === 0) onEvent(event);
    } catch (error) {
      refuse(error);
    }
  };

  try {
    const streams = [child.stdout, child.stderr].map(stream => readLines(stream, log.keep));
    const events = readLines(child.stdio[3], take);
    const feeding = feed(child.stdin, lines ?? []).catch(refuse);
    const {exitCode, signal, originalMessage: fault} = await child;
    await Promise.all([...streams, events]);
    await feeding;
    if (refusals.length > 0) throw refusals[0];
    return resultOf<Name>(
      task,
      {
        name: command.name,
        file: command.file,
        exitCode,
        signal: signal ?? undefined,
        fault,
        greeted,
        last,
        protocolErrors,
        log,
      },
      stop.requested,
    );
  } finally {
    clearTimeout(overdue);
    clearTimeout(late);
    stop.forced.removeEventListener('abort', kill);
    await log.close();
  }
}

const knownTypes = new Set<unknown>(childEvent.options.map(option => option.shape.type.value));
const isKnownType = (message: unknown): boolean =>
  typeof message === 'object' && message !== null && 'type' in message && knownTypes.has(message.type);

/**
 * The event in a line; null where it is none that we know. An unknown type is a newer child's; a known one of the wrong
 * shape is a bug.
 */
function eventIn(line: string, onProblem: (problem: string) => void): ChildEvent | null {
  let message: unknown;
  try {
    message = fromWire(line);
  } catch (error) {
    onProblem(
      `sent a line that is ${error instanceof SyntaxError ? 'no JSON' : 'nested too deeply'}: ${line.slice(0, 200)}`,
    );
    return null;
  }
  const event = childEvent.safeParse(message);
  if (event.success) return event.data;
  if (isKnownType(message)) onProblem(`sent a malformed event: ${line.slice(0, 200)}`);
  return null;
}
