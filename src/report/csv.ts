/**
 * CSV that a spreadsheet can open: quoted as RFC 4180 says, and no cell of text is a formula or holds a control
 * character.
 */
import {printable} from '../printable.js';

/**
 * What spreadsheets take for the beginning of a formula (OWASP, CSV injection); an apostrophe in front makes it text.
 */
const formula = /^[=+\-@\uff1d\uff0b\uff0d\uff20]/;

function cell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const text = printable(value);
  const safe = formula.test(text) || /^[\t\r]/.test(value) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Rows of text and numbers; numbers stay as they are, also negative ones. */
export const csv = (rows: readonly (readonly (string | number)[])[]): string =>
  rows.map(row => `${row.map(cell).join(',')}\n`).join('');
