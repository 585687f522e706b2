/** What may have been meant by a name that is unknown: the one place that judges how near two spellings are. */
import {distance} from 'fastest-levenshtein';

/** A swap of two letters counts as two changes. */
const mistakesIn = (given: string): number => (given.length < 4 ? 1 : Math.max(2, Math.floor(given.length / 3)));

/** Known names, the nearest first, that are a slip of the keyboard away from `given`, or that it begins. */
export function nearNames(given: string, known: readonly string[]): string[] {
  const asked = given.toLowerCase();
  return known
    .map(name => {
      const candidate = name.toLowerCase();
      const changes = distance(asked, candidate);
      // Whoever stops typing early has made no mistake so far.
      return {name, changes: asked.length > 2 && candidate.startsWith(asked) ? Math.min(changes, 1) : changes};
    })
    .filter(({changes}) => changes <= mistakesIn(asked))
    .sort((a, b) => a.changes - b.changes)
    .map(({name}) => name);
}

/** Whoever changed no more than this of a key has misspelt it, and means no other section's. */
const CLEAR_SLIP = 2;
const KEYS_SUGGESTED = 3;

/**
 * Known dotted keys that may be meant: the one spelt nearly so, those with the same last part in other sections, or one
 * whose last part is spelt nearly so.
 */
export function nearKeys(key: string, known: readonly string[]): string[] {
  const lastPart = (dotted: string): string => dotted.split('.').at(-1) ?? dotted;
  const byDistance = [...known].sort((a, b) => distance(key, a) - distance(key, b));
  const namesakes = byDistance.filter(candidate => lastPart(candidate) === lastPart(key));
  const [nearest] = nearNames(key, [...known, ...sectionsOf(known)]);
  if (nearest !== undefined && (namesakes.length === 0 || distance(key, nearest) <= CLEAR_SLIP)) return [nearest];
  if (namesakes.length > 0) return namesakes.slice(0, KEYS_SUGGESTED);
  const [last] = nearNames(lastPart(key), byDistance.map(lastPart));
  return byDistance.filter(candidate => lastPart(candidate) === last).slice(0, 1);
}

/** What stands before the dots: `select` of `select.top_k`. */
const sectionsOf = (keys: readonly string[]): string[] => [
  ...new Set(
    keys.flatMap(key =>
      key
        .split('.')
        .slice(0, -1)
        .map((_, index, parts) => parts.slice(0, index + 1).join('.')),
    ),
  ),
];

/** " Did you mean a, b or c?", to end a message with; nothing where there is no candidate. */
export function question(candidates: readonly string[]): string {
  const last = candidates.at(-1);
  return last === undefined
    ? ''
    : ` Did you mean ${candidates.length === 1 ? last : `${candidates.slice(0, -1).join(', ')} or ${last}`}?`;
}

/** " Did you mean NAME?" with the nearest of the known names; nothing where none is near. `shown` words it. */
export const didYouMean = (
  given: string,
  known: readonly string[],
  shown: (name: string) => string = name => name,
): string => question(nearNames(given, known).slice(0, 1).map(shown));
