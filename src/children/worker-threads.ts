/** What an image worker's pool of threads holds besides one for each decoder. */

/** Files read at a time while others are decoded. */
export const READS_AT_ONCE = 4;
/** Decoders that are past their time and still at it, in whose place others may start. */
export const SPARE_THREADS = 2;
