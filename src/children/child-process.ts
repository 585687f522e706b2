/** A child process: starts it, reads its pipes to their end, and stops it in two steps. */
import type {Writable} from 'node:stream';
import {execa} from 'execa';
import {readLines} from './child-streams.js';
import {allowedEnvironment} from './environment.js';

export interface ChildCommand {
  /** How people call the child: `trainer`, `worker`. */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /**
   * Whether it takes task after task on stdin: the path of each one's config as JSON, its descriptors, an empty line. Any other
   * does one, whose config is its last argument.
   */
  readonly stays?: boolean;
}

/** How a process ended. */
export interface ProcessEnd {
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  /** Why it could not be started, where it could not. */
  readonly fault: string | undefined;
}

/** Whoever has its task in a process hears it. */
export interface Listener {
  /** A line on file descriptor 3. */
  readonly onEventLine: (line: string) => void;
  /** A line for people, on stdout or stderr. */
  readonly onPrinted: (line: string) => void;
}

/** Listens between tasks, when there is nothing to say. */
export const nobody: Listener = {onEventLine: () => {}, onPrinted: () => {}};

export interface ChildProcess {
  readonly stdin: Writable;
  /** Once all that it said is heard. */
  readonly ended: Promise<ProcessEnd>;
  /** Takes the place of who listened before. */
  readonly listen: (listener: Listener) => void;
  /** SIGTERM asks it to save and stop, and kills it where it takes too long over that. */
  readonly kill: (signal: 'SIGTERM' | 'SIGKILL') => void;
}

/** Time to save a checkpoint of a large model before a stopping child is killed. */
const STOP_TIMEOUT_MS = 60_000;
/**
 * onnxruntime would otherwise send the names and hashes of models to its makers, and keep an id of this machine in the
 * user's cache folder.
 */
const nothingSent = {ORT_DISABLE_TELEMETRY: '1'};

/** Starts a child with `args` behind the command's own. What keeps it from starting is told by its end. */
export function startProcess(command: ChildCommand, args: readonly string[]): ChildProcess {
  const child = execa(command.file, [...command.args, ...args], {
    cwd: command.cwd,
    env: {...allowedEnvironment(process.env), ...nothingSent, ...command.env},
    extendEnv: false,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    buffer: false,
    reject: false,
    killSignal: 'SIGTERM',
    forceKillAfterDelay: STOP_TIMEOUT_MS,
    // A child outlives a dying parent only as long as it takes it to notice; see the children's own watch.
    cleanup: true,
  });
  let listener = nobody;
  // Whoever feeds it sees that it is closed.
  child.stdin.on('error', () => {});
  const read = [
    readLines(child.stdout, line => listener.onPrinted(line)),
    readLines(child.stderr, line => listener.onPrinted(line)),
    readLines(child.stdio[3], line => listener.onEventLine(line)),
  ];
  const ended = (async (): Promise<ProcessEnd> => {
    const {exitCode, signal, originalMessage: fault} = await child;
    await Promise.all(read);
    return {exitCode, signal: signal ?? undefined, fault};
  })();
  ended.catch(() => {}); // Whoever has a task in it, or closes it, awaits it.
  return {stdin: child.stdin, ended, listen: next => (listener = next), kill: signal => child.kill(signal)};
}
