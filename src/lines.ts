/**
 * Splits a stream of bytes into lines, at newlines alone: readline would also split at U+2028, which JSON leaves as it
 * is.
 */

const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Lines as UTF-8, without their newline or carriage return and newline. Holds one line and one chunk at a time. */
export async function* linesOf(input: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const text = (line: Buffer) => line.toString('utf8', 0, line.at(-1) === RETURN ? line.length - 1 : line.length);
  let begun: Buffer[] = [];
  for await (const chunk of input) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      yield text(Buffer.concat([...begun, chunk.subarray(from, end)]));
      begun = [];
      from = end + 1;
    }
    if (from < chunk.length) begun.push(chunk.subarray(from));
  }
  if (begun.length > 0) yield text(Buffer.concat(begun));
}
