/** What a class may be called: the one form of a label, from whatever kind of source it comes. */
import {UserError} from '../errors.js';
import {printable} from '../printable.js';

/**
 * Controls, marks that reorder or end a line, halves of characters, and what stands for bytes that were lost in
 * decoding.
 */
const refused = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffd]/gu;
/** Characters that show nothing. */
const invisible = /\p{Default_Ignorable_Code_Point}/gu;

export const codePoint = (character: string): string =>
  `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;

/**
 * The label in Unicode's composed form (NFC), without blanks at its ends. Throws a data error that names `place` for
 * one that cannot be shown.
 */
export function className(label: string, place: string): string {
  const bad = [...new Set(label.match(refused))];
  if (bad.length > 0) {
    throw new UserError(
      'BAD_CLASSES',
      `The class name ${quoted(label)} of ${place} holds ${bad.map(codePoint).join(', ')}. ` +
        'Expected a name on one line, without control characters or characters that were lost in decoding. Rename the class.',
    );
  }
  return label.normalize('NFC').trim();
}

/**
 * Whether a number that stands for a class is the one that was written: two that were larger than numbers are exact may
 * have become one.
 */
export const isExact = (label: number): boolean =>
  Number.isFinite(label) && (!Number.isInteger(label) || Number.isSafeInteger(label));

/** What to do about one that is not. */
export const NOT_EXACT =
  'a number with more digits than numbers keep, so that two of them may become one class: write it in quotes';

/** A name in which what cannot be seen or told apart is spelt out. */
export const quoted = (name: string): string =>
  `"${printable(name).replace(/[\p{M}\p{Default_Ignorable_Code_Point}]|(?! )\s/gu, character => `\\u{${character.codePointAt(0)!.toString(16)}}`)}"`;

/** How a name is read: capitals, kinds of blanks and what cannot be seen make no difference to the eye. */
const asRead = (name: string): string => name.replace(invisible, '').replace(/\s+/gu, ' ').trim().toLowerCase();

/** Two names of a list that read the same but are not; null where all can be told apart. */
export function lookAlikes(names: readonly string[]): readonly [string, string] | null {
  const seen = new Map<string, string>();
  for (const name of names) {
    const twin = seen.get(asRead(name));
    if (twin !== undefined && twin !== name) return [twin, name];
    seen.set(asRead(name), name);
  }
  return null;
}
