/** The K best candidates of every class, held in flat typed arrays: one binary min-heap a class, worst kept candidate at its root. */

const ID_WORDS = 3;

/** A kept candidate: its score and the id of its image. */
export interface Ranked {
  readonly score: number;
  readonly image: string;
}

/**
 * Keeps the `k` best of any number of candidates for each of `classes` classes, ordered by score descending, then by image id ascending.
 * That order is total, so what is kept does not depend on the order of the calls.
 *
 * Memory: 16 bytes a place (a float32 score and the 96-bit id), 256 MB for 1,000 classes of 16,000.
 */
export class TopK {
  readonly #scores: Float32Array;
  /** Image ids as three 32-bit words each; compared word by word they order as their hex does. */
  readonly #ids: Uint32Array;
  readonly #sizes: Uint32Array;
  /** The id on offer, its words parsed once for all of its classes. */
  readonly #offered = new Uint32Array(ID_WORDS);

  constructor(
    readonly classes: number,
    readonly k: number,
  ) {
    this.#scores = new Float32Array(classes * k);
    this.#ids = new Uint32Array(classes * k * ID_WORDS);
    this.#sizes = new Uint32Array(classes);
  }

  /** Whether a candidate with this score can still enter the class: a cheap test before its id is parsed. */
  admits(classIndex: number, score: number): boolean {
    return this.#sizes[classIndex]! < this.k || score >= this.#scores[classIndex * this.k]!;
  }

  /** Offers one candidate. `score` is finite and a float32; `image` is a 24-digit lowercase hex id. An image is offered at most once a class. */
  offer(classIndex: number, score: number, image: string): void {
    if (!this.admits(classIndex, score)) return;
    for (let word = 0; word < ID_WORDS; word++) this.#offered[word] = Number.parseInt(image.slice(word * 8, word * 8 + 8), 16);
    const base = classIndex * this.k;
    const size = this.#sizes[classIndex]!;
    if (size < this.k) {
      this.#sizes[classIndex] = size + 1;
      this.#siftUp(base, size, score);
    } else if (this.#offerIsBetterThan(base, score)) {
      this.#siftDown(base, this.k, score);
    }
  }

  /** The kept candidates of a class, best first. */
  ranked(classIndex: number): Ranked[] {
    const base = classIndex * this.k;
    const slots = Array.from({length: this.#sizes[classIndex]!}, (_, slot) => base + slot);
    slots.sort((a, b) => (this.#isBetter(a, b) ? -1 : 1));
    return slots.map(slot => ({score: this.#scores[slot]!, image: this.#hex(slot)}));
  }

  #hex(slot: number): string {
    let hex = '';
    for (let word = 0; word < ID_WORDS; word++) hex += this.#ids[slot * ID_WORDS + word]!.toString(16).padStart(8, '0');
    return hex;
  }

  #isBetter(a: number, b: number): boolean {
    const difference = this.#scores[a]! - this.#scores[b]!;
    if (difference !== 0) return difference > 0;
    for (let word = 0; word < ID_WORDS; word++) {
      const idDifference = this.#ids[a * ID_WORDS + word]! - this.#ids[b * ID_WORDS + word]!;
      if (idDifference !== 0) return idDifference < 0;
    }
    return false;
  }

  #offerIsBetterThan(slot: number, score: number): boolean {
    const difference = score - this.#scores[slot]!;
    if (difference !== 0) return difference > 0;
    for (let word = 0; word < ID_WORDS; word++) {
      const idDifference = this.#offered[word]! - this.#ids[slot * ID_WORDS + word]!;
      if (idDifference !== 0) return idDifference < 0;
    }
    return false;
  }

  #place(slot: number, score: number): void {
    this.#scores[slot] = score;
    this.#ids.set(this.#offered, slot * ID_WORDS);
  }

  #move(from: number, to: number): void {
    this.#scores[to] = this.#scores[from]!;
    this.#ids.copyWithin(to * ID_WORDS, from * ID_WORDS, (from + 1) * ID_WORDS);
  }

  #siftUp(base: number, hole: number, score: number): void {
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (this.#offerIsBetterThan(base + parent, score)) break;
      this.#move(base + parent, base + hole);
      hole = parent;
    }
    this.#place(base + hole, score);
  }

  #siftDown(base: number, size: number, score: number): void {
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#isBetter(base + child, base + child + 1)) child++;
      if (!this.#offerIsBetterThan(base + child, score)) break;
      this.#move(base + child, base + hole);
      hole = child;
    }
    this.#place(base + hole, score);
  }
}
