import {expect, it} from 'vitest';
import {printable, printableJson, printableMessage} from '../src/printable.js';

/**
 * A title set by an old terminal's one-byte escape, a line turned around, a line's end that JSON lets stand, half a
 * character.
 */
const hostile = 'a\u009b31mb\u202ec\u2028d\u061ce\u0007f\ud800g';

it('text of others is shown on one line, with what a terminal would act on as escapes', () => {
  expect(printable(hostile)).toBe('a\\x9b31mb\\u{202e}c\\u{2028}d\\u{61c}e\\x07f\\u{d800}g');
  expect(printableMessage('one\n\ttwo\r')).toBe('one\n\ttwo\\x0d');
});

it('JSON says the same value, with what a terminal would act on in its own escapes', () => {
  const value = {[hostile]: [hostile, 'grün ✓ 猫']};
  const json = printableJson(value);
  expect(json).not.toMatch(/[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u);
  expect(json).toContain('grün ✓ 猫');
  expect(JSON.parse(json)).toEqual(value);
});
