/** The pipes of a child: lines that come, and lines that are fed. */
import {Readable, type Writable} from 'node:stream';
import {linesOf} from '../lines.js';

export async function readLines(stream: unknown, take: (line: string) => void): Promise<void> {
  if (!(stream instanceof Readable)) throw new Error('A child was started without one of its pipes.');
  for await (const line of linesOf(stream)) if (line !== '') take(line);
}

/**
 * Writes the lines, no faster than they are read; a child that ended early has said why elsewhere, so its closed pipe
 * is no error of its own.
 */
export async function feed(stdin: Writable, lines: AsyncIterable<string>): Promise<void> {
  for await (const line of lines) {
    if (!stdin.writable) return;
    if (!stdin.write(`${line}\n`)) await once(stdin, 'drain', 'close');
  }
}

/** Waits for the first of the events. */
const once = (stream: Writable, ...events: ('drain' | 'close')[]): Promise<void> =>
  new Promise(resolve => {
    const resume = () => {
      for (const event of events) stream.off(event, resume);
      resolve();
    };
    for (const event of events) stream.on(event, resume);
  });
