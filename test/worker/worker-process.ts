/** Runs the built image worker for a single task, which it is given as by its parent. */
import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {writeFile} from 'node:fs/promises';
import {createInterface} from 'node:readline';
import {Readable} from 'node:stream';
import {fileURLToPath} from 'node:url';
import {
  childEvent,
  fromWire,
  taskResults,
  toWire,
  type ChildEvent,
  type Decoding,
  type TaskName,
  type TaskResult,
} from '../../src/children/protocol.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const program = fileURLToPath(new URL('../../dist/worker/main.js', import.meta.url));

export const decoding: Decoding = {
  size: 32,
  resize: 32,
  shrinkOnLoad: false,
  formats: ['jpeg', 'png', 'webp'],
  maxFileBytes: 20_000_000,
  maxPixels: 50_000_000,
  timeoutSeconds: 5,
};

export interface Ended {
  events: ChildEvent[];
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  events: ChildEvent[];
  /** The next event of a type, or the one already there. */
  event<Type extends ChildEvent['type']>(type: Type): Promise<ChildEvent & {type: Type}>;
  ended: Promise<Ended>;
}

const decodingTasks: readonly unknown[] = ['pack', 'score', 'trial', 'predict', 'decode'];

/**
 * Starts a task; `lines` are its descriptors, to which more may be added where they are null. `env` is added to this
 * process's own.
 */
export async function startWorker(
  task: object,
  lines: readonly object[] | null = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const folder = await temporaryFolder();
  const config = `${folder}/config.json`;
  const precautions = {inHand: `${folder}/in-hand.json`, culprits: []};
  await writeFile(
    config,
    toWire({protocol: 1, ...('task' in task && decodingTasks.includes(task.task) && {precautions}), ...task}),
  );
  const child = spawn(process.execPath, [program], {
    stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
    env: {...process.env, UV_THREADPOOL_SIZE: '12', ...env},
  });
  child.stdin?.on('error', () => {}); // A worker that refuses its task reads no more.
  child.stdin?.write(`${JSON.stringify(config)}\n`);
  if (lines !== null) child.stdin?.end([...lines.map(line => toWire(line)), '\n'].join('\n'));

  const events: ChildEvent[] = [];
  const [, , stderrPipe, eventPipe] = child.stdio;
  if (!(eventPipe instanceof Readable) || !(stderrPipe instanceof Readable))
    throw new Error('The worker was started without its pipes.');
  let stderr = '';
  stderrPipe.on('data', chunk => (stderr += String(chunk)));
  const reader = createInterface({input: eventPipe});
  reader.on('line', line => {
    const event = childEvent.parse(fromWire(line));
    // It says nothing of the task.
    if (event.type !== 'ready') events.push(event);
  });
  const read = once(reader, 'close');

  return {
    child,
    events,
    async event(type) {
      for (;;) {
        const found = events.find(event => event.type === type);
        if (found !== undefined) return found as never; // Its type was just compared.
        await once(reader, 'line');
      }
    },
    ended: once(child, 'close').then(async ([exitCode, signal]) => {
      await read;
      return {events, exitCode, signal, stderr};
    }),
  };
}

/** Runs a task to its end. */
export const runWorker = async (
  task: object,
  lines: readonly object[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> => await (await startWorker(task, lines, env)).ended;

/** The result of a task that must succeed. */
export async function resultOf<Name extends TaskName>(
  name: Name,
  task: object,
  lines: readonly object[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended & {result: TaskResult<Name>}> {
  const ended = await runWorker({task: name, ...task}, lines, env);
  const last = ended.events.at(-1);
  if (last?.type !== 'finished' || ended.exitCode !== 0)
    throw new Error(`${name} ended with ${ended.exitCode} ${JSON.stringify(last)}\n${ended.stderr}`);
  return {...ended, result: taskResults[name].parse(last.result) as TaskResult<Name>};
}

export const eventsOf = <Type extends ChildEvent['type']>({events}: {events: ChildEvent[]}, type: Type) =>
  events.filter((event): event is ChildEvent & {type: Type} => event.type === type);
