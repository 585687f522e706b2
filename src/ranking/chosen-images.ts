/**
 * The scores of the images that were chosen, gathered from those of the whole pool and put in the order of their ids: a
 * pack of them is the same however the pool was scored, at once or as it grew.
 */
import {compareIds, ID_WORDS} from './image-ids.js';
import type {ScoredImages} from './select.js';

const ROOM_AT_FIRST = 1024;

/** Takes 12 + 8 x `kept` bytes an image; room for them doubles as it runs out. */
export class ChosenImages {
  #images = 0;
  #room = ROOM_AT_FIRST;
  #ids = new Uint32Array(ROOM_AT_FIRST * ID_WORDS);
  #classes: Int32Array[];
  #logProbs: Float32Array[];

  /** `kept` answers are kept of each image. */
  constructor(kept: number) {
    this.#classes = Array.from({length: kept}, () => new Int32Array(ROOM_AT_FIRST));
    this.#logProbs = Array.from({length: kept}, () => new Float32Array(ROOM_AT_FIRST));
  }

  /** Takes the image at a row of some scores. */
  add({ids, classes, logProbs}: ScoredImages, row: number): void {
    if (this.#images === this.#room) this.#grow();
    const at = this.#images++;
    this.#ids.set(ids.subarray(row * ID_WORDS, (row + 1) * ID_WORDS), at * ID_WORDS);
    this.#classes.forEach((column, position) => (column[at] = classes[position]![row]!));
    this.#logProbs.forEach((column, position) => (column[at] = logProbs[position]![row]!));
  }

  /** All that was taken, and its rows in the order of ids. */
  ordered(): {readonly scores: ScoredImages; readonly rows: Uint32Array} {
    const rows = Uint32Array.from({length: this.#images}, (_, row) => row);
    return {
      scores: {ids: this.#ids, classes: this.#classes, logProbs: this.#logProbs},
      rows: rows.sort((a, b) => compareIds(this.#ids, a, this.#ids, b)),
    };
  }

  #grow(): void {
    this.#room *= 2;
    const ids = new Uint32Array(this.#room * ID_WORDS);
    ids.set(this.#ids);
    this.#ids = ids;
    this.#classes = this.#classes.map(column => {
      const larger = new Int32Array(this.#room);
      larger.set(column);
      return larger;
    });
    this.#logProbs = this.#logProbs.map(column => {
      const larger = new Float32Array(this.#room);
      larger.set(column);
      return larger;
    });
  }
}
