/** Runs one task in a child process: starts it, reads its events from fd 3, feeds its stdin, stops it in two steps, and turns its end into a result or a typed error. */
import {createWriteStream} from 'node:fs';
import {mkdir, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {finished} from 'node:stream/promises';
import {Readable, type Writable} from 'node:stream';
import {execa} from 'execa';
import {ChildError, Interrupted, throwIfStopped, UserError, type ErrorCode} from '../errors.js';
import {linesOf} from '../lines.js';
import {explainFault} from '../machine-fault.js';
import {allowedEnvironment} from './environment.js';
import {setupCommand} from './python-env.js';
import {childEvent, fromWire, PROTOCOL, taskResults, toWire, type ChildEvent, type FailureReason, type Json, type TaskName, type TaskOf, type TaskResult} from './protocol.js';

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
  /** For a task on what a stranger made: a child that is not done by then is killed, and the message comes out as a fault of the data. */
  readonly limit?: {readonly seconds: number; readonly message: string};
}

/** Time to save a checkpoint of a large model before a stopping child is killed. */
const STOP_TIMEOUT_MS = 60_000;
/** Time to end for a child that has said how it ended; an interpreter with large libraries takes seconds. */
const END_TIMEOUT_MS = 10_000;
const LOG_LINES_SHOWN = 20;
/** onnxruntime would otherwise send the names and hashes of models to its makers, and keep an id of this machine in the user's cache folder. */
const nothingSent = {ORT_DISABLE_TELEMETRY: '1'};
/** A child's exit code for a stop that was asked for. Several processes that are stopped before they met have nothing to say about it. */
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

/**
 * Runs a task to its end and returns its result.
 *
 * Success is exit code 0 and a `finished` event whose result has the task's shape. Throws Interrupted where the stop was asked
 * for, ChildError otherwise: with the child's own reason where it gave one, else with the last lines of its log. What `onEvent`
 * or `lines` throw stops the child and comes out.
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
  const logFile = path.join(attempt, `${command.name}.log`);
  const log = createWriteStream(logFile, {flags: 'a'});
  const logTail: string[] = [];
  let ranOutOfMemory = false;
  const keep = (line: string) => {
    log.write(`${line}\n`);
    ranOutOfMemory ||= OUT_OF_MEMORY.test(line);
    logTail.push(line);
    if (logTail.length > LOG_LINES_SHOWN) logTail.shift();
  };

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
  // It has said how it ended, but something holds it up, such as a decoder in a thread that cannot be stopped.
  let overdue: NodeJS.Timeout | undefined;
  stop.forced.addEventListener('abort', kill, {once: true});

  let greeted = false;
  let last: ChildEvent | undefined;
  // Whoever listens or feeds may refuse to go on, as where too many pictures fail; the child is then stopped as by a signal.
  const refusals: unknown[] = [];
  const refuse = (error: unknown) => {
    refusals.push(error);
    child.kill('SIGTERM');
  };
  const late =
    limit &&
    setTimeout(() => {
      refusals.push(new UserError('CHILD_STUCK', limit.message));
      kill();
    }, limit.seconds * 1000);
  log.on('error', error => refuse(new UserError('NO_ACCESS', `Cannot write ${logFile} (${error.message}).`, {cause: error})));
  const protocolErrors: string[] = [];
  const take = (line: string) => {
    let message: unknown;
    try {
      message = fromWire(line);
    } catch (error) {
      protocolErrors.push(`sent a line that is ${error instanceof SyntaxError ? 'no JSON' : 'nested too deeply'}: ${line.slice(0, 200)}`);
      return;
    }
    const event = childEvent.safeParse(message);
    if (!event.success) {
      // Unknown event types are a newer child's; a known type of the wrong shape is a bug.
      if (isKnownType(message)) protocolErrors.push(`sent a malformed event: ${line.slice(0, 200)}`);
      return;
    }
    greeted ||= event.data.type === 'hello';
    if (event.data.type === 'hello' && event.data.protocol !== PROTOCOL) {
      refuse(new ChildError('BUG', `The ${command.name} speaks protocol ${event.data.protocol}; expected ${PROTOCOL}.`, logTail));
    }
    if (event.data.type === 'finished' || event.data.type === 'failed' || event.data.type === 'interrupted') {
      last = event.data;
      overdue ??= setTimeout(kill, END_TIMEOUT_MS);
    }
    try {
      if (refusals.length === 0) onEvent(event.data);
    } catch (error) {
      refuse(error);
    }
  };

  try {
    const streams = [child.stdout, child.stderr].map(stream => readLines(stream, keep));
    const events = readLines(child.stdio[3], take);
    const feeding = feed(child.stdin, lines ?? []).catch(refuse);
    const ended = await child;
    await Promise.all([...streams, events]);
    await feeding;
    if (refusals.length > 0) throw refusals[0];
    if (last?.type === 'failed') throw new ChildError(last.code ?? codeOf[last.reason], last.message, last.reason === 'bug' ? logTail : [], {reason: last.reason});
    throwIfStopped(stop.requested);
    // Not by us: whoever stops a whole group of processes sends the signal to the child, too.
    if (last?.type === 'interrupted' || (last === undefined && ended.exitCode === INTERRUPTED)) throw new Interrupted('SIGTERM');
    const wasOverdue = last !== undefined && ended.signal === 'SIGKILL';
    if (ended.signal !== undefined && ended.signal !== null && !wasOverdue) {
      if (ranOutOfMemory) {
        throw new ChildError('OUT_OF_MEMORY', `The ${command.name} got no more memory. ${memoryAdvice(task)}, close other programs, or raise the limit where one is set (ulimit -v).`, logTail, {killedBy: ended.signal, reason: 'out-of-memory'});
      }
      throw new ChildError(
        ended.signal === 'SIGKILL' ? 'OUT_OF_MEMORY' : 'BUG',
        `The ${command.name} was killed by ${ended.signal}${ended.signal === 'SIGKILL' ? `, probably because memory ran out. ${memoryAdvice(task)}, or close other programs` : ''}.`,
        logTail,
        {killedBy: ended.signal},
      );
    }
    if (protocolErrors.length > 0) throw new ChildError('BUG', `The ${command.name} ${protocolErrors[0]}.`, logTail);
    if (ended.exitCode === undefined && !wasOverdue) throw new ChildError('CHILD_FAILED', `The ${command.name} could not be started: ${ended.originalMessage ?? command.file}.`, logTail);
    if (!greeted) {
      throw new ChildError(
        'NOT_SET_UP',
        `${command.file} does not run the ${command.name}: it ended with exit code ${ended.exitCode} before a word. See pupil doctor, and mend it with ${setupCommand}.`,
        logTail,
      );
    }
    if (last?.type !== 'finished' || (ended.exitCode !== 0 && !wasOverdue)) {
      throw new ChildError('BUG', `The ${command.name} ended with exit code ${ended.exitCode} and without a result.`, logTail);
    }
    return resultOf<Name>(task.task, last.result, command.name, logTail);
  } finally {
    clearTimeout(overdue);
    clearTimeout(late);
    stop.forced.removeEventListener('abort', kill);
    log.end();
    // A log that could not be written was told above, in place of the result.
    await finished(log).catch(() => {});
  }
}

/** What Node says before it ends itself for want of memory: no picture is to blame for that. */
const OUT_OF_MEMORY = /Fatal process OOM|heap out of memory/;

/** The key to lower where memory ran out, and to what where the task has a batch of its own. */
function memoryAdvice(task: TaskOf<TaskName>): string {
  const key = task.task === 'train' || task.task === 'evaluate' || task.task === 'speed' ? 'train.batch_size' : 'score.batch_size';
  const {batchSize: size} = 'layout' in task ? task.layout : 'batchSize' in task ? task : {batchSize: null};
  return size === null || size < 4 ? 'Lower train.batch_size or score.batch_size' : `Set ${key} to ${Math.floor(size / 2)}, half of what it is`;
}

function resultOf<Name extends TaskName>(name: Name, result: Json, child: string, logTail: readonly string[]): TaskResult<Name> {
  const parsed = taskResults[name].safeParse(result);
  if (!parsed.success) throw new ChildError('BUG', `The ${child} gave a result of the wrong shape for ${name}: ${parsed.error.message}`, logTail);
  // The schema was looked up under `name`; TypeScript cannot follow that through the index.
  return parsed.data as TaskResult<Name>;
}

const knownTypes = new Set<unknown>(childEvent.options.map(option => option.shape.type.value));
const isKnownType = (message: unknown): boolean => typeof message === 'object' && message !== null && 'type' in message && knownTypes.has(message.type);

async function readLines(stream: unknown, take: (line: string) => void): Promise<void> {
  if (!(stream instanceof Readable)) throw new Error('A child was started without one of its pipes.');
  for await (const line of linesOf(stream)) if (line !== '') take(line);
}

/** Writes the lines and closes; a child that ended early has said why elsewhere, so its closed pipe is no error of its own. */
async function feed(stdin: Writable, lines: AsyncIterable<object> | Iterable<object>): Promise<void> {
  let open = true;
  stdin.on('error', () => (open = false));
  stdin.on('close', () => (open = false));
  for await (const line of lines) {
    if (!open) return;
    if (!stdin.write(`${toWire(line)}\n`)) await new Promise<void>(resolve => {
      const resume = () => {
        stdin.off('drain', resume).off('close', resume).off('error', resume);
        resolve();
      };
      stdin.on('drain', resume).on('close', resume).on('error', resume);
    });
  }
  if (open) stdin.end();
}
