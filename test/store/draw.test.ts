import {describe, expect, it} from 'vitest';
import {drawSizes} from '../../src/store/draw.js';

describe('of the labelled pictures of a class', () => {
  it('a share is for validation, at least so many, and never more than half', () => {
    const draw = {labelledPerClass: null, validation: {share: 0.1, atLeast: 5}};
    expect([101, 20, 6, 1].map(images => drawSizes(images, draw))).toEqual([
      {validation: 11, train: 90},
      {validation: 5, train: 15},
      {validation: 3, train: 3},
      {validation: 0, train: 1},
    ]);
  });

  it('those that are labelled share with validation; what is left over is in neither', () => {
    expect(drawSizes(100, {labelledPerClass: 30, validation: {share: 0.1, atLeast: 5}})).toEqual({
      validation: 5,
      train: 25,
    });
  });

  it('validation beside them comes first, as far as there are any', () => {
    const draw = {labelledPerClass: 25, validation: {perClass: 10}};
    expect([100, 30, 7].map(images => drawSizes(images, draw))).toEqual([
      {validation: 10, train: 25},
      {validation: 10, train: 20},
      {validation: 7, train: 0},
    ]);
  });

  it('all are to train on where validation has a source of its own', () => {
    expect(drawSizes(12, {labelledPerClass: null, validation: null})).toEqual({validation: 0, train: 12});
  });
});
