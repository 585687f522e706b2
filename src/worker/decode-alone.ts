/**
 * The `decode` task: decodes the pictures named on stdin one by one and keeps nothing of them. Whoever started it sees
 * which of them it dies of.
 */
import {decodeItem, type DecodeItem, type TaskOf, type TaskResult} from '../children/protocol.js';
import {decodeAhead} from './decode-ahead.js';
import {readDescriptors} from './descriptors.js';
import type {TaskContext} from './task-context.js';

export async function decodeAlone(
  {decoding, precautions}: TaskOf<'decode'>,
  {descriptors, signal}: TaskContext,
): Promise<TaskResult<'decode'>> {
  async function* pictures(): AsyncGenerator<[DecodeItem]> {
    for await (const item of readDescriptors(descriptors(), decodeItem)) yield [item];
  }
  let images = 0;
  for await (const lot of decodeAhead(pictures(), {decoding, threads: 1, precautions, signal})) images += lot.length;
  return {images};
}
