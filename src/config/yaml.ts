/**
 * Reads YAML as people write it, whoever wrote it: one document, of so many levels and aliases as anybody would write.
 */
import {
  Document,
  isScalar,
  Lexer,
  parseAllDocuments,
  Parser,
  type LineCounter,
  type ParsedNode,
  type YAMLError,
} from 'yaml';
import {UserError} from '../errors.js';

/** A configuration has five or so; many thousands would overflow the stack of whoever walks through them. */
const MAX_NESTING = 100;

/** The one document in a text. Throws (exit 2) where it is no YAML, or several. */
export function parseYaml(text: string, shown: string, lineCounter?: LineCounter): Document {
  // Numbers and their texts are one key of an object; the file means two.
  const uniqueKeys = (a: ParsedNode, b: ParsedNode): boolean =>
    a === b || (isScalar(a) && isScalar(b) && String(a.value) === String(b.value));
  const at = (line: number | undefined) =>
    lineCounter === undefined ? `${shown}: the value` : `${shown}:${line ?? 1}`;
  if (isNestedTooDeeply(text))
    throw new UserError('BAD_CONFIG', `${shown} is nested too deeply: more than ${MAX_NESTING} levels.`);
  const documents = parseAllDocuments(text, {uniqueKeys, ...(lineCounter && {lineCounter})});
  if ('empty' in documents) return new Document();
  const [document, second] = documents;
  if (second !== undefined)
    throw new UserError(
      'BAD_CONFIG',
      `${at(lineCounter?.linePos(second.range[0]).line)} begins a second document (---); expected one.`,
    );
  const [error] = document?.errors ?? [];
  if (error)
    throw new UserError('BAD_CONFIG', `${at(error.linePos?.[0].line)} is not valid YAML: ${reasonOf(error)}.`, {
      cause: error,
    });
  return document ?? new Document();
}

/** Looks at the grammar alone, which the parser goes through without calling itself. */
function isNestedTooDeeply(text: string): boolean {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    // Its tokens are not wanted here, only how far inside it is.
    Array.from(parser.next(lexeme));
    if (parser.stack.length > 2 * MAX_NESTING) return true;
  }
  return false;
}

/**
 * What a document says. Throws (exit 2) where its aliases stand for more than anybody would write, or it is nested
 * without end.
 */
export function valueOf(document: Document, shown: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    if (cause instanceof ReferenceError)
      throw new UserError(
        'BAD_CONFIG',
        `${shown} has too many aliases (*name), or one of an anchor that is not there: ${cause.message}. Write the values out.`,
        {cause},
      );
    throw cause;
  }
}

/** The first line of a YAML error, less the place at its end: it is told in front. */
const reasonOf = ({message}: YAMLError): string =>
  (message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:$/, '');
