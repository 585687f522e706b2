/** The pipes of a child: lines that come, and lines that are fed. */
import {Readable, type Writable} from 'node:stream';
import {linesOf} from '../lines.js';
import {toWire} from './protocol.js';

export async function readLines(stream: unknown, take: (line: string) => void): Promise<void> {
  if (!(stream instanceof Readable)) throw new Error('A child was started without one of its pipes.');
  for await (const line of linesOf(stream)) if (line !== '') take(line);
}

/**
 * Writes the lines and closes; a child that ended early has said why elsewhere, so its closed pipe is no error of its
 * own.
 */
export async function feed(stdin: Writable, lines: AsyncIterable<object> | Iterable<object>): Promise<void> {
  let open = true;
  stdin.on('error', () => (open = false));
  stdin.on('close', () => (open = false));
  for await (const line of lines) {
    if (!open) return;
    if (!stdin.write(`${toWire(line)}\n`))
      await new Promise<void>(resolve => {
        const resume = () => {
          stdin.off('drain', resume).off('close', resume).off('error', resume);
          resolve();
        };
        stdin.on('drain', resume).on('close', resume).on('error', resume);
      });
  }
  if (open) stdin.end();
}
