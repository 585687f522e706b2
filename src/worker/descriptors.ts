/** A task's descriptors: one JSON object a line on stdin, taken only as fast as they are worked on. */
import {z} from 'zod';
import {fromWire} from '../children/protocol.js';
import {WorkerFailure} from './failure.js';

/** Reads descriptors to the last of `lines`. Throws a `config` failure for a line that is none. */
export async function* readDescriptors<T>(lines: AsyncIterable<string>, descriptor: z.ZodType<T>): AsyncGenerator<T> {
  for await (const line of lines) {
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
