import {createHash} from 'node:crypto';
import {describe, expect, it} from 'vitest';
import {Selection, type ScoredImages} from '../../src/ranking/select.js';

const CLASSES = 7;
const KEPT = 4;

/** A pool whose scores tie often, so that the order by id decides. */
function pool(count: number, seed: number): ScoredImages {
  const classes = Array.from({length: KEPT}, () => new Int32Array(count));
  const logProbs = Array.from({length: KEPT}, () => new Float32Array(count));
  const images = Array.from({length: count}, (_, row) => createHash('sha256').update(`${seed} ${row}`).digest('hex').slice(0, 24));
  images.forEach((image, row) => {
    const order = Array.from({length: CLASSES}, (_, index) => index).sort((a, b) => Number.parseInt(image[a]!, 16) - Number.parseInt(image[b]!, 16) || a - b);
    for (let position = 0; position < KEPT; position++) {
      classes[position]![row] = order[position]!;
      logProbs[position]![row] = -(position + (Number.parseInt(image[10 + position]!, 16) % 4) / 10);
    }
  });
  return {images, classes, logProbs};
}

const part = (scored: ScoredImages, rows: readonly number[]): ScoredImages => ({
  images: rows.map(row => scored.images[row]!),
  classes: scored.classes.map(column => Int32Array.from(rows, row => column[row]!)),
  logProbs: scored.logProbs.map(column => Float32Array.from(rows, row => column[row]!)),
});

function bySorting(scored: ScoredImages, topP: number, topK: number) {
  return Array.from({length: CLASSES}, (_, classIndex) => {
    const candidates: {score: number; image: string}[] = [];
    for (let position = 0; position < topP; position++) {
      scored.images.forEach((image, row) => {
        if (scored.classes[position]![row] === classIndex) candidates.push({score: scored.logProbs[position]![row]!, image});
      });
    }
    candidates.sort((a, b) => b.score - a.score || (a.image < b.image ? -1 : 1));
    return {candidates: candidates.length, ranked: candidates.slice(0, topK)};
  });
}

const rankings = (selection: Selection) => Array.from({length: CLASSES}, (_, classIndex) => selection.ranking(classIndex));

describe('Selection', () => {
  it.each([
    {topP: 1, topK: 10},
    {topP: 3, topK: 1},
    {topP: 4, topK: 100},
    {topP: 2, topK: 100_000},
  ])('keeps what a full sort by score and then id keeps (P=$topP, K=$topK)', ({topP, topK}) => {
    const scored = pool(5000, 1);
    const selection = new Selection(CLASSES, topP, topK);
    selection.add(scored);
    expect(rankings(selection)).toEqual(bySorting(scored, topP, topK));
  });

  it('does not depend on the order of images nor on how the pool is cut into shards', () => {
    const scored = pool(3000, 2);
    const rows = Array.from(scored.images.keys());
    const inOrder = new Selection(CLASSES, 3, 50);
    inOrder.add(scored);
    const shuffled = rows.toSorted((a, b) => (scored.images[a]! < scored.images[b]! ? 1 : -1));
    const inShards = new Selection(CLASSES, 3, 50);
    for (let from = 0; from < shuffled.length; from += 170) inShards.add(part(scored, shuffled.slice(from, from + 170)));
    expect(rankings(inShards)).toEqual(rankings(inOrder));
    expect(inShards.images).toBe(3000);
  });

  it('keeps all there are where a class has fewer than K candidates, and nothing where it has none', () => {
    const selection = new Selection(3, 1, 10);
    selection.add({images: ['b'.repeat(24), 'a'.repeat(24)], classes: [Int32Array.of(1, 1)], logProbs: [Float32Array.of(-0.5, -0.5)]});
    expect(selection.ranking(0)).toEqual({candidates: 0, ranked: []});
    expect(selection.ranking(1)).toEqual({
      candidates: 2,
      ranked: [
        {score: -0.5, image: 'a'.repeat(24)},
        {score: -0.5, image: 'b'.repeat(24)},
      ],
    });
  });
});
