import {createHash} from 'node:crypto';
import {describe, expect, it} from 'vitest';
import {idAt, ID_WORDS, packIds, unpackIds} from '../../src/ranking/image-ids.js';
import {Cutoffs, Selection, type ScoredImages} from '../../src/ranking/select.js';

const CLASSES = 7;
const KEPT = 4;

/** A pool whose scores tie often, so that the order by id decides. */
function pool(count: number, seed: number): ScoredImages {
  const classes = Array.from({length: KEPT}, () => new Int32Array(count));
  const logProbs = Array.from({length: KEPT}, () => new Float32Array(count));
  const images = Array.from({length: count}, (_, row) =>
    createHash('sha256').update(`${seed} ${row}`).digest('hex').slice(0, 24),
  );
  images.forEach((image, row) => {
    const order = Array.from({length: CLASSES}, (_, index) => index).sort(
      (a, b) => Number.parseInt(image[a]!, 16) - Number.parseInt(image[b]!, 16) || a - b,
    );
    for (let position = 0; position < KEPT; position++) {
      classes[position]![row] = order[position]!;
      logProbs[position]![row] = -(position + (Number.parseInt(image[10 + position]!, 16) % 4) / 10);
    }
  });
  return {ids: packIds(images), classes, logProbs};
}

const part = (scored: ScoredImages, rows: readonly number[]): ScoredImages => ({
  ids: Uint32Array.from(rows.flatMap(row => [...scored.ids.subarray(row * ID_WORDS, (row + 1) * ID_WORDS)])),
  classes: scored.classes.map(column => Int32Array.from(rows, row => column[row]!)),
  logProbs: scored.logProbs.map(column => Float32Array.from(rows, row => column[row]!)),
});

function bySorting(scored: ScoredImages, topP: number, topK: number) {
  return Array.from({length: CLASSES}, (_, classIndex) => {
    const candidates: {score: number; image: string}[] = [];
    for (let position = 0; position < topP; position++) {
      unpackIds(scored.ids).forEach((image, row) => {
        if (scored.classes[position]![row] === classIndex)
          candidates.push({score: scored.logProbs[position]![row]!, image});
      });
    }
    candidates.sort((a, b) => b.score - a.score || (a.image < b.image ? -1 : 1));
    return {candidates: candidates.length, ranked: candidates.slice(0, topK)};
  });
}

function rankingOf(selection: Selection, classIndex: number) {
  const {candidates, ranked} = selection.ranking(classIndex);
  return {candidates, ranked: Array.from(ranked.scores, (score, row) => ({score, image: idAt(ranked.ids, row)}))};
}
const rankings = (selection: Selection) =>
  Array.from({length: CLASSES}, (_, classIndex) => rankingOf(selection, classIndex));

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
    const images = unpackIds(scored.ids);
    const rows = [...images.keys()];
    const inOrder = new Selection(CLASSES, 3, 50);
    inOrder.add(scored);
    const shuffled = rows.toSorted((a, b) => (images[a]! < images[b]! ? 1 : -1));
    const inShards = new Selection(CLASSES, 3, 50);
    for (let from = 0; from < shuffled.length; from += 170)
      inShards.add(part(scored, shuffled.slice(from, from + 170)));
    expect(rankings(inShards)).toEqual(rankings(inOrder));
    expect(inShards.images).toBe(3000);
  });

  it('keeps all there are where a class has fewer than K candidates, and nothing where it has none', () => {
    const selection = new Selection(3, 1, 10);
    selection.add({
      ids: packIds(['b'.repeat(24), 'a'.repeat(24)]),
      classes: [Int32Array.of(1, 1)],
      logProbs: [Float32Array.of(-0.5, -0.5)],
    });
    expect(rankingOf(selection, 0)).toEqual({candidates: 0, ranked: []});
    expect(rankingOf(selection, 1)).toEqual({
      candidates: 2,
      ranked: [
        {score: -0.5, image: 'a'.repeat(24)},
        {score: -0.5, image: 'b'.repeat(24)},
      ],
    });
  });

  it('may be asked before all is added, and goes on', () => {
    const scored = pool(4000, 3);
    const rows = Array.from({length: 4000}, (_, row) => row);
    const selection = new Selection(CLASSES, 3, 20);
    for (let from = 0; from < rows.length; from += 500) {
      selection.add(part(scored, rows.slice(from, from + 500)));
      expect(rankings(selection)).toEqual(bySorting(part(scored, rows.slice(0, from + 500)), 3, 20));
    }
  });

  it.each(['rising', 'falling', 'all the same'])('keeps what a full sort keeps where the scores come %s', order => {
    const scored = pool(5000, 4);
    for (const column of scored.logProbs)
      column.forEach((_, row) => (column[row] = order === 'rising' ? row - 5000 : order === 'falling' ? -row : -1));
    const selection = new Selection(CLASSES, 2, 100);
    selection.add(scored);
    expect(rankings(selection)).toEqual(bySorting(scored, 2, 100));
  });
});

describe('Cutoffs', () => {
  it.each([
    {topP: 4, topK: 1, minScore: -Infinity},
    {topP: 3, topK: 200, minScore: -Infinity},
    {topP: 4, topK: 300, minScore: -1.15},
    {topP: 2, topK: 100_000, minScore: -0.5},
  ])('tell of each image the classes that rank it (P=$topP, K=$topK, from $minScore)', ({topP, topK, minScore}) => {
    const scored = pool(3000, 5);
    const selection = new Selection(CLASSES, topP, topK, minScore);
    selection.add(scored);
    const cutoffs = new Cutoffs(CLASSES, topP);
    for (let classIndex = 0; classIndex < CLASSES; classIndex++)
      cutoffs.set(classIndex, selection.ranking(classIndex).ranked);
    const ranked = rankings(selection).map(({ranked}) => new Set(ranked.map(({image}) => image)));
    unpackIds(scored.ids).forEach((image, row) => {
      expect(cutoffs.classesOf(scored, row)).toEqual(
        [...ranked.keys()].filter(classIndex => ranked[classIndex]!.has(image)),
      );
    });
  });

  it('of a class that ranks nothing leave all out', () => {
    const cutoffs = new Cutoffs(2, 1);
    cutoffs.set(0, {scores: new Float32Array(), ids: new Uint32Array()});
    expect(
      cutoffs.classesOf(
        {ids: packIds(['0'.repeat(24)]), classes: [Int32Array.of(0)], logProbs: [Float32Array.of(0)]},
        0,
      ),
    ).toEqual([]);
  });
});
