/** Numbers as people read them. */
import type {ScoringParts, SelectionCounts} from './events.js';

// Made when first used: it takes a tenth of the time in which a child process starts, and most never show a number.
let grouped: Intl.NumberFormat | undefined;

/** 12345 -> "12,345". */
export const count = (value: number): string => (grouped ??= new Intl.NumberFormat('en-US')).format(value);

const threeDigits = (value: number): string =>
  new Intl.NumberFormat('en-US', {maximumSignificantDigits: 3}).format(value);

/** (1, 'image') -> "1 image"; (3, 'class', 'classes') -> "3 classes". */
export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;

/** 0.41234 -> "41.2 %". */
export const percent = (fraction: number): string => `${(100 * fraction).toFixed(1)} %`;

/** Images a second, three digits. */
export const rate = threeDigits;

/** The parts of scoring and the share of the time in which each was at work, the busiest first. */
function bySharesOf({reading, decoding, inferring, writing}: ScoringParts): readonly string[] {
  const parts = [
    ['network', inferring],
    ['decoding', decoding],
    ['reading', reading],
    ['writing', writing],
  ] as const;
  return [...parts].sort(([, a], [, b]) => b - a).map(([name, share]) => `${name} ${Math.round(100 * share)} %`);
}

/** "busy: network 98 %, decoding 60 %, reading 3 %, writing 1 %". */
export const busyParts = (shares: ScoringParts): string => `busy: ${bySharesOf(shares).join(', ')}`;

/** What bounds the speed: "network 98 % busy". */
export const busiestPart = (shares: ScoringParts): string => `${bySharesOf(shares)[0]} busy`;

/** 12.3 -> "12.3 s"; 754 -> "12 min 34 s"; 9000 -> "2 h 30 min". */
export function duration(seconds: number): string {
  if (seconds < 100) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** 12_345_678 -> "12.3 MB". */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${threeDigits(value)} ${units[unit]}`;
}

/** Said before the half minute in which nothing else is. */
export const MEASURING = 'Measuring how fast this machine is; it takes half a minute or so ...\n';

/** Why a crowded selection teaches little, in a sentence of its own. */
export const crowdedWords = ({
  classes,
  topP,
  topK,
  selected,
  images,
}: Pick<SelectionCounts, 'classes' | 'topP' | 'topK' | 'selected' | 'images'>): string =>
  `P = ${topP} and K = ${count(topK)} put each chosen image in ${(selected / images).toFixed(1)} of ${classes} classes: labels that contradict each other, from which a student learns little and unlearns what its teacher knows.`;

/** Of a stage whose result was made before, by a run of the home. */
export const takenWords = (run: string): string => `as ${run} has made it`;
