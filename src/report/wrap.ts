/** Lines that end where words do: a terminal itself breaks them anywhere. */
import {stripVTControlCharacters} from 'node:util';
import wrapAnsi from 'wrap-ansi';

/** Narrower than this words are hard to read: there the terminal may break lines itself. */
const LEAST_WIDTH = 20;

/**
 * `text` beside `head`: in lines of at most `width` characters, where its words allow, each of which begins below the
 * first one's beginning. What has no space, such as a path, stays whole, so that it can be copied; the text's own lines
 * keep their indentation.
 */
export function beside(head: string, text: string, width: number): string {
  const indent = ' '.repeat(stripVTControlCharacters(head).length);
  const lines = text.split('\n').flatMap(line => {
    const own = /^ */.exec(line)![0];
    const wrapped = wrapAnsi(line.slice(own.length), Math.max(LEAST_WIDTH, width - indent.length - own.length));
    return wrapped.split('\n').map(part => own + part);
  });
  return head + lines.join(`\n${indent}`);
}

/** Some terminals tell no width. */
const USUAL_WIDTH = 80;

/** The characters that a line of a stream has room for; Infinity where it is no terminal. */
export const widthOf = (stream: NodeJS.WriteStream): number =>
  stream.isTTY ? stream.columns || USUAL_WIDTH : Infinity;

/** `text` for a stream: in lines that fit where it is a terminal, and as it is elsewhere. */
export const wrappedFor = (stream: NodeJS.WriteStream, text: string): string =>
  stream.isTTY ? beside('', text, widthOf(stream)) : text;
