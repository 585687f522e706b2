/** Why the bytes of an image cannot be read, in words. */
import type {Problem} from '../children/protocol.js';

export const emptyFile: Problem = {code: 'EMPTY_FILE', detail: '0 bytes'};
export const notAFile: Problem = {code: 'NOT_A_FILE', detail: 'a folder, pipe, socket or device'};
export const tooLarge = (bytes: number, most: number): Problem => ({
  code: 'FILE_TOO_LARGE',
  detail: `${bytes} bytes; at most ${most}`,
});
export const endsBefore = (byte: number): Problem => ({
  code: 'UNREADABLE',
  detail: `the file ends before byte ${byte}`,
});
/** `code` is the system's. */
export const unreadable = (code: string): Problem => ({
  code: 'UNREADABLE',
  detail: code === 'ENOENT' ? 'there is no such file (ENOENT)' : `the file cannot be read (${code})`,
});

/** Most that one read of neighbouring ranges takes. */
const MAX_RUN_BYTES = 1024 * 1024;
/**
 * Ranges this close are read together: a tar header or two lie between members, a label byte or two between CIFAR
 * records.
 */
const MAX_GAP_BYTES = 4096;

/** Whether a range is read together with those before it in the same file, of which the first begins at `start`. */
export function continuesRun(start: number, end: number, next: {offset: number; length: number}): boolean {
  const gap = next.offset - end;
  return gap >= 0 && gap <= MAX_GAP_BYTES && next.offset + next.length - start <= MAX_RUN_BYTES;
}
