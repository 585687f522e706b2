/** The kinds of values that messages are made of. */
import {z} from 'zod';

export const PROTOCOL = 1;

export const count = z.int().nonnegative();
export const positive = z.int().positive();
export const fraction = z.number().min(0).max(1);
export const finite = z.number();
/** Told apart from other texts for Python's side, which makes a Path of it: see scripts/protocol.mjs. */
export const path = z.string().min(1).meta({kind: 'path'});
/**
 * Lowercase hex of the first 12 bytes (24 digits) of a SHA-256: of the file's bytes, or of the pixels of a CIFAR
 * record.
 */
export const imageId = z.string().regex(/^[0-9a-f]{24}$/);

export const task = {protocol: z.literal(PROTOCOL)};
export const device = z.string().regex(/^(cpu|cuda:\d+)$/);
