/** Two runs side by side: what they came to, and the settings in which they differ. */
import {summaryOf, type RunSummary} from './runs.js';

export interface Comparison {
  readonly a: RunSummary;
  readonly b: RunSummary;
  /** By dotted key; null where the one run knows no such setting. */
  readonly differences: readonly {readonly key: string; readonly a: string | null; readonly b: string | null}[];
}

export function comparisonOf(home: string, one: string, other: string): Comparison {
  const [a, b] = [summaryOf(home, one), summaryOf(home, other)];
  const keys = [...new Set([...Object.keys(a.settings), ...Object.keys(b.settings)])].filter(
    key => key !== 'run' && key !== 'about' && a.settings[key] !== b.settings[key],
  );
  return {a, b, differences: keys.map(key => ({key, a: a.settings[key] ?? null, b: b.settings[key] ?? null}))};
}
