/**
 * The selection of the paper (Yalniz et al., arXiv 1905.00546, section 3.2): which unlabelled images stand as examples of which class.
 *
 * In the paper's letters: a teacher trained on the labelled set D scores every image of the unlabelled set U; each image is a
 * candidate for its P best classes only; each class keeps its K best-scored candidates; the student is pre-trained on the
 * result, D-hat. An image may be selected for several classes, so D-hat holds (class, image) pairs.
 *
 * Scores are log-probabilities: a float32 softmax saturates at 1 and would tie in masses.
 */
import {TopK, type Ranked} from './top-k.js';

/** The scores of a part of the pool. Row r is image `images[r]`; its p-th best class is `classes[p][r]` with log-probability `logProbs[p][r]`. */
export interface ScoredImages {
  readonly images: readonly string[];
  readonly classes: readonly Int32Array[];
  readonly logProbs: readonly Float32Array[];
}

/** What a class got: how many images had it among their P best, and the best K of them in order (rank 1 first). */
export interface ClassRanking {
  readonly candidates: number;
  readonly ranked: readonly Ranked[];
}

/**
 * Ranks a pool: each image a candidate for its `topP` best classes, each class keeping its `topK` best candidates,
 * by score descending and then image id ascending. An image with less than `minScore` for a class is no candidate for it.
 *
 * The parts may come in any order and of any size; the result is the same. An image must come once.
 * `ScoredImages` may hold more than `topP` classes an image, never fewer.
 */
export class Selection {
  readonly #heaps: TopK;
  readonly #candidates: Uint32Array;
  #images = 0;

  constructor(
    readonly classes: number,
    readonly topP: number,
    topK: number,
    readonly minScore = -Infinity,
  ) {
    this.#heaps = new TopK(classes, topK);
    this.#candidates = new Uint32Array(classes);
  }

  /** How many images were added. */
  get images(): number {
    return this.#images;
  }

  add(scored: ScoredImages): void {
    for (let position = 0; position < this.topP; position++) {
      const classes = scored.classes[position]!;
      const logProbs = scored.logProbs[position]!;
      for (let row = 0; row < scored.images.length; row++) {
        const score = logProbs[row]!;
        if (score < this.minScore) continue;
        const classIndex = classes[row]!;
        this.#candidates[classIndex]!++;
        if (this.#heaps.admits(classIndex, score)) this.#heaps.offer(classIndex, score, scored.images[row]!);
      }
    }
    this.#images += scored.images.length;
  }

  ranking(classIndex: number): ClassRanking {
    return {candidates: this.#candidates[classIndex]!, ranked: this.#heaps.ranked(classIndex)};
  }
}
