import {describe, expect, it} from 'vitest';
import {fittingTopK, fittingTopP, isCrowded} from '../../src/ranking/selection-size.js';

describe('the P that fits', () => {
  it.each([
    [2, 1],
    [3, 1],
    [10, 1],
    [20, 1],
    [100, 3],
    [200, 4],
    [1000, 10],
    [21_000, 10],
  ])('for %i classes is %i', (classes, topP) => {
    expect(fittingTopP(classes)).toBe(topP);
  });
});

describe('the K that fits', () => {
  it('is what the teacher is expected to be right about, for the mean class', () => {
    expect(fittingTopK({expectedRight: 130, scored: 200, classes: 10})).toBe(13);
    expect(fittingTopK({expectedRight: 5000, scored: 100_000, classes: 100})).toBe(50);
  });

  it("is the smaller a part of a pool, the larger that is, and of a pool as large as the paper's as many as there", () => {
    const ofSure = (imagesOfAClass: number) =>
      fittingTopK({expectedRight: 1000 * imagesOfAClass, scored: 1000 * imagesOfAClass, classes: 1000});
    expect([20, 200, 600, 10_000, 1_000_000].map(ofSure)).toEqual([19, 78, 155, 900, 16_000]);
  });

  it("is at least 1, and never more than the paper's 16,000", () => {
    expect(fittingTopK({expectedRight: 3, scored: 100, classes: 10})).toBe(1);
    expect(fittingTopK({expectedRight: 5e9, scored: 5e9, classes: 1000})).toBe(16_000);
  });
});

describe('a selection', () => {
  const pool = {classes: 10, scored: 200};

  it('is crowded where every picture stands for every class, as with P = 10, K = 1000 and ten classes', () => {
    expect(isCrowded({...pool, selected: 2000, images: 200})).toBe(true);
  });

  it('is crowded where a third of all pairs are taken, or a picture has more than three classes', () => {
    expect(isCrowded({...pool, selected: 700, images: 200})).toBe(true);
    expect(isCrowded({classes: 100, scored: 40_000, selected: 4000, images: 1000})).toBe(true);
    expect(isCrowded({classes: 100, scored: 40_000, selected: 20_000, images: 14_000})).toBe(false);
  });

  it('of two or three classes is crowded sooner', () => {
    expect(isCrowded({classes: 2, scored: 1000, selected: 120, images: 100})).toBe(true);
    expect(isCrowded({classes: 2, scored: 1000, selected: 100, images: 100})).toBe(false);
    expect(isCrowded({classes: 3, scored: 1000, selected: 250, images: 100})).toBe(true);
  });
});
