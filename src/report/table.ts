/** Plain-text tables that fit a terminal, whatever stands in their cells. */
import {printable} from '../printable.js';

export type Align = 'left' | 'right';

/** Rows of cells under a header, columns two spaces apart; only the last column is cut where `width` (characters) is too small. */
export function table(header: readonly string[], cells: readonly (readonly string[])[], {align = [], width = Infinity}: {align?: readonly Align[]; width?: number} = {}): string {
  const rows = cells.map(row => row.map(printable));
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map(row => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string => {
    const text = row
      .map((cell, column) => (align[column] === 'right' ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd();
    return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 3))}...`;
  };
  return [header, ...rows].map(line).join('\n');
}
