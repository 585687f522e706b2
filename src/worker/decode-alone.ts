/**
 * The `decode` task: decodes the pictures named on stdin one by one and keeps nothing of them. Whoever started it sees
 * which of them it dies of.
 */
import {decodeItem, type DecodeItem, type TaskOf, type TaskResult} from '../children/protocol.js';
import {decodeAhead} from './decode-ahead.js';
import {readDescriptors} from './descriptors.js';

export async function decodeAlone(
  {decoding, precautions}: TaskOf<'decode'>,
  signal: AbortSignal,
): Promise<TaskResult<'decode'>> {
  async function* pictures(): AsyncGenerator<[DecodeItem]> {
    for await (const item of readDescriptors(process.stdin, decodeItem, signal)) yield [item];
  }
  let images = 0;
  for await (const lot of decodeAhead(pictures(), {decoding, threads: 1, precautions, signal})) images += lot.length;
  return {images};
}
