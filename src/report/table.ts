/** Plain-text tables that fit a terminal, whatever stands in their cells. */
import {printable} from '../printable.js';
import {beside} from './wrap.js';

export type Align = 'left' | 'right';

/**
 * Rows of cells under a header, columns two spaces apart; the last column goes on below itself where `width`
 * (characters) is too small.
 */
export function table(
  header: readonly string[],
  cells: readonly (readonly string[])[],
  {align = [], width = Infinity}: {align?: readonly Align[]; width?: number} = {},
): string {
  const rows = cells.map(row => row.map(printable));
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map(row => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string => {
    const padded = row.map((cell, column) =>
      align[column] === 'right' ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
    );
    const text = padded.join('  ').trimEnd();
    return text.length <= width ? text : beside(`${padded.slice(0, -1).join('  ')}  `, padded.at(-1)!.trimEnd(), width);
  };
  return [header, ...rows].map(line).join('\n');
}
