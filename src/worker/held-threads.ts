/**
 * The threads of this process that decoders past their time keep, whatever becomes of their task. In a file of its own:
 * decoding forbids sharp the formats that drawing needs.
 */
export const heldThreads = {count: 0};
