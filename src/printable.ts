/**
 * Text from elsewhere as a terminal, a message, a table or a script's line of JSON may show it: nothing in it moves the
 * cursor, changes a colour or begins a line.
 */

/** Controls, marks that turn a line around or end it, and halves of characters. */
const unsafe = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;
/** A message of ours may have several lines, and tabs. */
const unsafeInMessage = /(?![\n\t])[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

const escaped = (character: string): string => {
  const code = character.codePointAt(0)!;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
};

/** A name, a path, a cell: on one line. */
export const printable = (text: string): string => text.replace(unsafe, escaped);

/** A message: its own lines stay. */
export const printableMessage = (text: string): string => text.replace(unsafeInMessage, escaped);

/** JSON for a terminal: the same value, with what a terminal would act on in JSON's own escapes. */
export const printableJson = (value: unknown): string =>
  JSON.stringify(value).replace(unsafe, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
