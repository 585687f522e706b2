/** Threads that look at many files, or hash many images, side by side; what they find comes in order. */
import {availableParallelism} from 'node:os';
import {Worker} from 'node:worker_threads';
import {lookAtFew, type NamedFiles, type SeenFiles} from './file-stamps.js';
import type {FileJob, FileReply, HashedImages, ImagesToHash} from './file-thread.js';
import type {KnownFiles} from './known-files.js';

export interface FileThreads {
  look(files: NamedFiles): Promise<SeenFiles>;
  hash(images: ImagesToHash): Promise<HashedImages>;
  /** Stops them, whatever they are at. */
  close(): Promise<void>;
}

/** Lots that wait for each thread, so that none is idle. */
const LOTS_PER_THREAD = 2;

/** `known` are images that need not be read again. They end when the signal is aborted, too. */
export function openFileThreads(
  threads: number,
  {known, signal}: {readonly known: KnownFiles | null; readonly signal: AbortSignal},
): FileThreads & {readonly lotsAhead: number} {
  const idle: Worker[] = [];
  const all: Worker[] = [];
  const waiting: (() => void)[] = [];
  let isClosed = false;
  const start = (): Worker => {
    const thread = new Worker(new URL('../../dist/images/file-thread.js', import.meta.url), {workerData: known});
    all.push(thread);
    return thread;
  };
  const free = async (): Promise<Worker> => {
    for (;;) {
      if (isClosed) throw new Error('The threads that read files were closed.');
      const thread = idle.pop() ?? (all.length < threads ? start() : undefined);
      if (thread !== undefined) return thread;
      await new Promise<void>(resolve => waiting.push(resolve));
    }
  };
  const ask = async (job: FileJob): Promise<FileReply> => {
    const thread = await free();
    const reply = await new Promise<FileReply>((resolve, reject) => {
      const ended = () => reject(new Error('A thread that reads files ended.'));
      thread.once('error', reject).once('exit', ended);
      thread.once('message', (found: FileReply) => {
        thread.off('error', reject).off('exit', ended);
        resolve(found);
      });
      thread.postMessage(job);
    });
    idle.push(thread);
    waiting.shift()?.();
    if ('failure' in reply) throw reply.failure;
    return reply;
  };
  const onAbort = () => void close();
  const close = async (): Promise<void> => {
    signal.removeEventListener('abort', onAbort);
    isClosed = true;
    for (const wake of waiting.splice(0)) wake();
    await Promise.all(all.map(thread => thread.terminate()));
  };
  // Nobody who is to stop waits for what they are at.
  signal.addEventListener('abort', onAbort);
  return {
    lotsAhead: threads * LOTS_PER_THREAD,
    async look(files) {
      const reply = await ask({type: 'look', files});
      if ('seen' in reply) return reply.seen;
      throw new Error('A thread was asked to look at files and did something else.');
    },
    async hash(images) {
      const reply = await ask({type: 'hash', images});
      if ('hashed' in reply) return reply.hashed;
      throw new Error('A thread was asked to hash images and did something else.');
    },
    close,
  };
}

/** What `use` makes of each, in order, a bounded number at a time. */
export async function* inOrder<Item, Result>(
  items: AsyncIterable<Item>,
  ahead: number,
  use: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const inFlight: Promise<Result>[] = [];
  const started = (result: Promise<Result>): Promise<Result> => {
    result.catch(() => {}); // Until its turn comes its failure is nobody's.
    return result;
  };
  try {
    for await (const item of items) {
      inFlight.push(started(use(item)));
      if (inFlight.length >= ahead) yield await inFlight.shift()!;
    }
    while (inFlight.length > 0) yield await inFlight.shift()!;
  } finally {
    await Promise.allSettled(inFlight);
  }
}

/** So many are looked at without threads, which take longer to start. */
const FEW = 2048;
/** Beyond the cores, for the sake of file systems that answer late. */
const MORE_THAN_CORES = 2;

/** What all files of a source are like, in order. Throws the signal's reason when aborted. */
export async function* lookAtFiles(files: AsyncIterable<NamedFiles>, signal: AbortSignal): AsyncGenerator<SeenFiles> {
  const threads = openFileThreads(availableParallelism() + MORE_THAN_CORES, {known: null, signal});
  let looked = 0;
  try {
    yield* inOrder(files, threads.lotsAhead, lot => {
      signal.throwIfAborted();
      looked += lot.names.length;
      return looked <= FEW ? lookAtFew(lot) : threads.look(lot);
    });
  } catch (error) {
    // Whatever the threads made of it.
    signal.throwIfAborted();
    throw error;
  } finally {
    await threads.close();
  }
}
