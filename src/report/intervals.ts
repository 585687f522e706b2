/**
 * How sure a figure is: 95 % intervals of a fraction of images (Wilson), and of the mean of a few repetitions
 * (Student's t).
 *
 * The quantile of t is computed here: of the libraries that have it, one brings two hundred packages and the others
 * have no types.
 */

/** The normal distribution's 97.5 % quantile. */
export const Z = 1.959964;

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/**
 * The 95 % score interval of Wilson (1927) for a fraction of `images`; it stays within 0..1 and fits near both ends.
 */
export function wilson(fraction: number, images: number): Interval {
  if (images === 0) return {low: 0, high: 1};
  const shrink = 1 + Z ** 2 / images;
  const centre = (fraction + Z ** 2 / (2 * images)) / shrink;
  const half = (Z / shrink) * Math.sqrt((fraction * (1 - fraction)) / images + (Z / (2 * images)) ** 2);
  return {low: Math.max(0, centre - half), high: Math.min(1, centre + half)};
}

export interface Summary {
  readonly n: number;
  readonly mean: number;
  /** Standard deviation of the sample; null of a single one. */
  readonly deviation: number | null;
  /** Of the mean; null of a single one. */
  readonly interval: Interval | null;
}

/** Null of nothing. */
export function summarise(values: readonly number[]): Summary | null {
  const n = values.length;
  if (n === 0) return null;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n === 1) return {n, mean, deviation: null, interval: null};
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
  const half = (tQuantile(n - 1) * deviation) / Math.sqrt(n);
  return {n, mean, deviation, interval: {low: mean - half, high: mean + half}};
}

/**
 * The share of Student's t distribution that lies within -t..t, for a whole number of degrees of freedom; `angle` is
 * atan(t / sqrt(degrees)). Abramowitz and Stegun, 26.7.3 and 26.7.4.
 */
function shareWithin(angle: number, degrees: number): number {
  const cosine = Math.cos(angle);
  const odd = degrees % 2 === 1;
  let term = odd ? cosine : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let power = odd ? 2 : 1; power < degrees - 2; power += 2) {
    term *= (power / (power + 1)) * cosine ** 2;
    sum += term;
  }
  return odd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
}

/** The t within which 95 % of the distribution lie. */
export function tQuantile(degrees: number): number {
  let [low, high] = [0, Math.PI / 2];
  // Halving an angle 60 times leaves no digit of it open.
  for (let halving = 0; halving < 60; halving++) {
    const middle = (low + high) / 2;
    if (shareWithin(middle, degrees) < 0.95) low = middle;
    else high = middle;
  }
  return Math.sqrt(degrees) * Math.tan(low);
}
