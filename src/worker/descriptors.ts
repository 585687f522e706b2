/** The worker's orders: one JSON descriptor a line on stdin, taken only as fast as they are worked on. */
import {addAbortSignal, type Readable} from 'node:stream';
import {z} from 'zod';
import {fromWire} from '../children/protocol.js';
import {linesOf} from '../lines.js';
import {WorkerFailure} from './failure.js';

/**
 * Reads descriptors until the input ends. Throws a `config` failure for a line that is none, and an AbortError on
 * `signal`.
 */
export async function* readDescriptors<T>(
  input: Readable,
  descriptor: z.ZodType<T>,
  signal: AbortSignal,
): AsyncGenerator<T> {
  for await (const line of linesOf(addAbortSignal(signal, input))) {
    let parsed;
    try {
      parsed = descriptor.safeParse(fromWire(line));
    } catch (error) {
      throw new WorkerFailure('config', `A descriptor on stdin is no JSON: ${line.slice(0, 200)}`, {cause: error});
    }
    if (!parsed.success)
      throw new WorkerFailure('config', `A descriptor on stdin is refused: ${z.prettifyError(parsed.error)}`);
    yield parsed.data;
  }
}
