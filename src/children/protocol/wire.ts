/** How a message becomes a line, and a line a message. */
import type {z} from 'zod';
import {printableJson} from '../../printable.js';

export type Json = z.infer<ReturnType<typeof z.json>>;

/** Our messages have eight levels or so; many thousands would overflow the stack of whoever walks through them. */
const MAX_NESTING = 100;

/**
 * Renames keys at every depth; the few names that there are, are made once: a shard's line has thousands of objects.
 */
function keyMapper(rename: (key: string) => string): (value: unknown) => unknown {
  const names = new Map<string, string>();
  const nameOf = (key: string): string => {
    const known = names.get(key) ?? rename(key);
    // Not more than a protocol has: keys may come from outside.
    if (names.size < 1000) names.set(key, known);
    return known;
  };
  const map = (value: unknown, depth: number): unknown => {
    if (value === null || typeof value !== 'object') return value;
    if (depth > MAX_NESTING) throw new RangeError(`nested too deeply: more than ${MAX_NESTING} levels`);
    if (Array.isArray(value)) return value.map(item => map(item, depth + 1));
    const mapped: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) mapped[nameOf(key)] = map(item, depth + 1);
    return mapped;
  };
  return value => map(value, 1);
}

const toSnakeCase = keyMapper(key => key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`));
const toCamelCase = keyMapper(key => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()));

/** One message as a line of JSON with snake_case keys, without its newline. */
export const toWire = (message: object): string => printableJson(toSnakeCase(message));

/**
 * A line of JSON with camelCase keys, not yet validated. Throws SyntaxError where it is no JSON, RangeError where it is
 * nested without end.
 */
export const fromWire = (line: string): unknown => toCamelCase(JSON.parse(line));
