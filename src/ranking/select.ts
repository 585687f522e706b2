/**
 * The selection of the paper (Yalniz et al., arXiv 1905.00546, section 3.2): which unlabelled images stand as examples
 * of which class.
 *
 * In the paper's letters: a teacher trained on the labelled set D scores every image of the unlabelled set U; each
 * image is a candidate for its P best classes only; each class keeps its K best-scored candidates; the student is
 * pre-trained on the result, D-hat. An image may be selected for several classes, so D-hat holds (class, image) pairs.
 *
 * Scores are log-probabilities: a float32 softmax saturates at 1 and would tie in masses.
 */
import {compareIds, ID_WORDS, idAt} from './image-ids.js';
import {TopK, type Ranked} from './top-k.js';

/**
 * The scores of a part of the pool. Row r is the image at row r of `ids`; its p-th best class is `classes[p][r]` with
 * log-probability `logProbs[p][r]`.
 */
export interface ScoredImages {
  readonly ids: Uint32Array;
  readonly classes: readonly Int32Array[];
  readonly logProbs: readonly Float32Array[];
}

/** The same without some images, which are given by their ids in hex. */
export function without(scores: ScoredImages, images: ReadonlySet<string>): ScoredImages {
  const rows = Array.from({length: scores.ids.length / ID_WORDS}, (_, row) => row).filter(
    row => !images.has(idAt(scores.ids, row)),
  );
  const ids = new Uint32Array(rows.length * ID_WORDS);
  rows.forEach((row, at) => ids.set(scores.ids.subarray(row * ID_WORDS, (row + 1) * ID_WORDS), at * ID_WORDS));
  return {
    ids,
    classes: scores.classes.map(column => Int32Array.from(rows, row => column[row]!)),
    logProbs: scores.logProbs.map(column => Float32Array.from(rows, row => column[row]!)),
  };
}

/** What a class got: how many images had it among their P best, and the best K of them in order (rank 1 first). */
export interface ClassRanking {
  readonly candidates: number;
  readonly ranked: Ranked;
}

/**
 * Ranks a pool: each image a candidate for its `topP` best classes, each class keeping its `topK` best candidates, by
 * score descending and then image id ascending. An image with less than `minScore` for a class is no candidate for it.
 *
 * The parts may come in any order and of any size; the result is the same. An image must come once.
 * `ScoredImages` may hold more than `topP` classes an image, never fewer.
 */
export class Selection {
  readonly #best: TopK;
  readonly #candidates: Uint32Array;
  #images = 0;

  constructor(
    readonly classes: number,
    readonly topP: number,
    topK: number,
    readonly minScore = -Infinity,
  ) {
    this.#best = new TopK(classes, topK);
    this.#candidates = new Uint32Array(classes);
  }

  /** How many images were added. */
  get images(): number {
    return this.#images;
  }

  add({ids, classes, logProbs}: ScoredImages): void {
    const images = ids.length / ID_WORDS;
    for (let position = 0; position < this.topP; position++) {
      const classColumn = classes[position]!;
      const scoreColumn = logProbs[position]!;
      for (let row = 0; row < images; row++) {
        const score = scoreColumn[row]!;
        if (score < this.minScore) continue;
        const classIndex = classColumn[row]!;
        this.#candidates[classIndex]!++;
        this.#best.offer(classIndex, score, ids, row);
      }
    }
    this.#images += images;
  }

  ranking(classIndex: number): ClassRanking {
    return {candidates: this.#candidates[classIndex]!, ranked: this.#best.ranked(classIndex)};
  }
}

/**
 * The last kept candidate of every class: with it, the scores of an image tell which classes selected it, and no
 * ranking is searched.
 */
export class Cutoffs {
  readonly #scores: Float32Array;
  readonly #ids: Uint32Array;

  constructor(
    classes: number,
    readonly topP: number,
  ) {
    // A class that keeps nothing selects nothing.
    this.#scores = new Float32Array(classes).fill(Infinity);
    this.#ids = new Uint32Array(classes * ID_WORDS);
  }

  /** Notes where the ranking of a class ends. */
  set(classIndex: number, {scores, ids}: Ranked): void {
    if (scores.length === 0) return;
    this.#scores[classIndex] = scores.at(-1)!;
    this.#ids.set(ids.subarray(-ID_WORDS), classIndex * ID_WORDS);
  }

  /** The classes that selected the image at a row, ascending. */
  classesOf({ids, classes, logProbs}: ScoredImages, row: number): number[] {
    const selecting: number[] = [];
    for (let position = 0; position < this.topP; position++) {
      const classIndex = classes[position]![row]!;
      const difference = logProbs[position]![row]! - this.#scores[classIndex]!;
      if (difference > 0 || (difference === 0 && compareIds(ids, row, this.#ids, classIndex) <= 0))
        selecting.push(classIndex);
    }
    return selecting.sort((a, b) => a - b);
  }
}
