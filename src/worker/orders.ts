/** What a worker is told on stdin: of each task the path of its config, its descriptors, and an empty line. */
import {addAbortSignal, type Readable} from 'node:stream';
import {z} from 'zod';
import {linesOf} from '../lines.js';
import {WorkerFailure} from './failure.js';

export interface Orders {
  /** The path of its config, once the one before is read to its end. Null where there are no more tasks. */
  nextTask: () => Promise<string | null>;
  /** The descriptors of the task in hand, less those that were read already. */
  descriptors: () => AsyncIterable<string>;
  /** Reads the task in hand to its end. */
  finish: () => Promise<void>;
}

/** Written as JSON: a folder's name may hold a newline. */
function pathIn(line: string): string {
  try {
    return z.string().parse(JSON.parse(line));
  } catch (error) {
    throw new WorkerFailure('config', `Expected the path of a config as JSON, found ${line.slice(0, 200)}`, {
      cause: error,
    });
  }
}

/** Reads orders as they are asked for. Throws an AbortError on `signal`, and where the input ends within a task. */
export function readOrders(input: Readable, signal: AbortSignal): Orders {
  const lines = linesOf(addAbortSignal(signal, input));
  let isWithinTask = false;
  async function nextLine(): Promise<string | null> {
    const next = await lines.next();
    return next.done === true ? null : next.value;
  }
  /** Null at the end of the task. */
  async function nextDescriptor(): Promise<string | null> {
    if (!isWithinTask) return null;
    const line = await nextLine();
    // Whoever writes it is gone. Half of the pictures are not to be taken for all of them.
    if (line === null) throw new WorkerFailure('config', 'Stdin ended before the empty line behind a task.');
    isWithinTask = line !== '';
    return isWithinTask ? line : null;
  }
  return {
    async nextTask() {
      const line = await nextLine();
      isWithinTask = line !== null;
      return line === null ? null : pathIn(line);
    },
    async *descriptors() {
      for (let line = await nextDescriptor(); line !== null; line = await nextDescriptor()) yield line;
    },
    async finish() {
      while ((await nextDescriptor()) !== null);
    },
  };
}
