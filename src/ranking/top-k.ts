/** The K best candidates of every class, held in flat typed arrays. */
import {compareIds, ID_WORDS} from './image-ids.js';

/** The kept candidates of a class, best first: their scores and the ids of their images. */
export interface Ranked {
  readonly scores: Float32Array;
  readonly ids: Uint32Array;
}

/** Spare places a class, as a share of K: more would prune less often, and take more memory. */
const SPARE_SHARE = 1 / 8;
const LEAST_SPARE = 64;

/**
 * Keeps the `k` best of any number of candidates for each of `classes` classes, ordered by score descending, then by
 * image id ascending. That order is total, so what is kept does not depend on the order of the calls.
 *
 * A class takes candidates as they come until its spare places are full, too; then the k best move to the front and the
 * others make room. So a candidate costs a few steps of a partition rather than its way through a heap, which misses
 * the cache at each level.
 *
 * Memory: 16 bytes a place (a float32 score and the 96-bit id), 288 MB for 1,000 classes of 16,000.
 */
export class TopK {
  readonly #places: number;
  readonly #scores: Float32Array;
  readonly #ids: Uint32Array;
  readonly #sizes: Uint32Array;
  /** The score of the k-th best when a class was pruned last: what is below it can never be kept. */
  readonly #floors: Float32Array;
  /** The id of the pivot of the partition at hand. */
  readonly #pivotId = new Uint32Array(ID_WORDS);

  constructor(
    readonly classes: number,
    readonly k: number,
  ) {
    this.#places = k + Math.max(LEAST_SPARE, Math.ceil(k * SPARE_SHARE));
    this.#scores = new Float32Array(classes * this.#places);
    this.#ids = new Uint32Array(classes * this.#places * ID_WORDS);
    this.#sizes = new Uint32Array(classes);
    this.#floors = new Float32Array(classes).fill(-Infinity);
  }

  /**
   * Offers one candidate: the image at `row` of `ids`. `score` is finite and a float32. An image is offered at most
   * once a class.
   */
  offer(classIndex: number, score: number, ids: Uint32Array, row: number): void {
    if (score >= this.#floors[classIndex]!) this.#take(classIndex, score, ids, row);
  }

  /** The kept candidates of a class, best first. */
  ranked(classIndex: number): Ranked {
    if (this.#sizes[classIndex]! > this.k) this.#prune(classIndex);
    const first = classIndex * this.#places;
    const end = first + this.#sizes[classIndex]!;
    this.#sort(first, end - 1);
    return {scores: this.#scores.slice(first, end), ids: this.#ids.slice(first * ID_WORDS, end * ID_WORDS)};
  }

  #take(classIndex: number, score: number, ids: Uint32Array, row: number): void {
    if (this.#sizes[classIndex] === this.#places) {
      this.#prune(classIndex);
      if (score < this.#floors[classIndex]!) return;
    }
    const slot = classIndex * this.#places + this.#sizes[classIndex]!++;
    this.#scores[slot] = score;
    for (let word = 0; word < ID_WORDS; word++) this.#ids[slot * ID_WORDS + word] = ids[row * ID_WORDS + word]!;
  }

  /** Leaves a class its k best, the last of them in the last place. */
  #prune(classIndex: number): void {
    const last = classIndex * this.#places + this.k - 1;
    let from = classIndex * this.#places;
    let to = from + this.#sizes[classIndex]! - 1;
    while (from < to) {
      const middle = this.#partition(from, to);
      if (last <= middle) to = middle;
      else from = middle + 1;
    }
    this.#sizes[classIndex] = this.k;
    this.#floors[classIndex] = this.#scores[last]!;
  }

  #sort(from: number, to: number): void {
    while (from < to) {
      const middle = this.#partition(from, to);
      this.#sort(from, middle);
      from = middle + 1;
    }
  }

  /**
   * Hoare's: moves slots from..to so that none up to the slot it returns, which is before `to`, is worse than any after
   * it.
   */
  #partition(from: number, to: number): number {
    const scores = this.#scores;
    const pivot = (from + to) >> 1;
    const pivotScore = scores[pivot]!;
    for (let word = 0; word < ID_WORDS; word++) this.#pivotId[word] = this.#ids[pivot * ID_WORDS + word]!;
    let left = from;
    let right = to;
    for (;;) {
      while (
        scores[left]! > pivotScore ||
        (scores[left] === pivotScore && compareIds(this.#ids, left, this.#pivotId, 0) < 0)
      )
        left++;
      while (
        scores[right]! < pivotScore ||
        (scores[right] === pivotScore && compareIds(this.#ids, right, this.#pivotId, 0) > 0)
      )
        right--;
      if (left >= right) return right;
      this.#swap(left++, right--);
    }
  }

  #swap(a: number, b: number): void {
    const score = this.#scores[a]!;
    this.#scores[a] = this.#scores[b]!;
    this.#scores[b] = score;
    for (let word = 0; word < ID_WORDS; word++) {
      const bits = this.#ids[a * ID_WORDS + word]!;
      this.#ids[a * ID_WORDS + word] = this.#ids[b * ID_WORDS + word]!;
      this.#ids[b * ID_WORDS + word] = bits;
    }
  }
}
