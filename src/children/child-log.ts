/** What a child prints for people: kept in a file, and its last lines at hand for when it fails. */
import {createWriteStream} from 'node:fs';
import {finished} from 'node:stream/promises';

const LINES_AT_HAND = 20;
/** What Node says before it ends itself for want of memory. */
const OUT_OF_MEMORY = /Fatal process OOM|heap out of memory/;

export interface ChildLog {
  readonly tail: readonly string[];
  /** Whether it said that it got no more memory: no picture is to blame for that. */
  readonly ranOutOfMemory: () => boolean;
  readonly keep: (line: string) => void;
  readonly close: () => Promise<void>;
}

/** Adds to `file`. Where that cannot be written, `onError` is told, and the lines at hand are all there is. */
export function openChildLog(file: string, onError: (error: Error) => void): ChildLog {
  const log = createWriteStream(file, {flags: 'a'});
  log.on('error', onError);
  const tail: string[] = [];
  let ranOutOfMemory = false;
  return {
    tail,
    ranOutOfMemory: () => ranOutOfMemory,
    keep(line) {
      log.write(`${line}\n`);
      ranOutOfMemory ||= OUT_OF_MEMORY.test(line);
      tail.push(line);
      if (tail.length > LINES_AT_HAND) tail.shift();
    },
    async close() {
      log.end();
      // That it could not be written was told above.
      await finished(log).catch(() => {});
    },
  };
}
