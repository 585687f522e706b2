/** The worker's orders: one JSON descriptor a line on stdin, taken only as fast as they are worked on. */
import {addAbortSignal, type Readable} from 'node:stream';
import {z} from 'zod';
import {fromWire} from '../children/protocol.js';
import {WorkerFailure} from './failure.js';

const NEWLINE = 0x0a;

/** Lines without their newline. Holds one line and one chunk at a time; readline would read a thousand ahead, of 2 MB each. */
async function* readLines(input: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  for await (const chunk of input) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      yield Buffer.concat([...begun, chunk.subarray(from, end)]).toString('utf8');
      begun = [];
      from = end + 1;
    }
    if (from < chunk.length) begun.push(chunk.subarray(from));
  }
  if (begun.length > 0) yield Buffer.concat(begun).toString('utf8');
}

/** Reads descriptors until the input ends. Throws a `config` failure for a line that is none, and an AbortError on `signal`. */
export async function* readDescriptors<T>(input: Readable, descriptor: z.ZodType<T>, signal: AbortSignal): AsyncGenerator<T> {
  for await (const line of readLines(addAbortSignal(signal, input))) {
    let parsed;
    try {
      parsed = descriptor.safeParse(fromWire(line));
    } catch (error) {
      throw new WorkerFailure('config', `A descriptor on stdin is no JSON: ${line.slice(0, 200)}`, {cause: error});
    }
    if (!parsed.success) throw new WorkerFailure('config', `A descriptor on stdin is refused: ${z.prettifyError(parsed.error)}`);
    yield parsed.data;
  }
}
