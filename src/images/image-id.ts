/** The name of an image: a hash of its bytes, so that the same image has the same name wherever it lies. */
import {hash} from 'node:crypto';

const HEX_DIGITS = 24;

/** Lowercase hex of the first 12 bytes of the SHA-256 of a file's bytes, or of a CIFAR record's pixels. */
export const imageIdOf = (bytes: Uint8Array): string => hash('sha256', bytes, 'hex').slice(0, HEX_DIGITS);
