import {describe, expect, it} from 'vitest';
import {fittedTemperature, probability, type KeptAnswers} from '../../src/ranking/calibration.js';

/** The kept log-probabilities of images whose probabilities are these, best first; `classes` of them in all. */
const answersOf = (probabilities: readonly (readonly number[])[], classes: number): KeptAnswers => ({
  kept: probabilities[0]!.length,
  classes,
  logProb: (image, position) => Math.log(probabilities[image]![position]!),
});

/** The likelihood of labels by the definition, over all classes. */
function logLikelihood(answers: KeptAnswers, positions: Int32Array, temperature: number): number {
  let sum = 0;
  for (const [image, position] of positions.entries()) {
    const kept = Array.from({length: answers.kept}, (_, at) => answers.logProb(image, at));
    const left = Math.log(
      (1 - kept.reduce((total, logProb) => total + Math.exp(logProb), 0)) / (answers.classes - answers.kept),
    );
    const all = [...kept, ...Array.from({length: answers.classes - answers.kept}, () => left)];
    const normaliser = all.reduce((total, logProb) => total + Math.exp(logProb / temperature), 0);
    sum += (position === -1 ? left : kept[position]!) / temperature - Math.log(normaliser);
  }
  return sum;
}

describe('the fitted temperature', () => {
  const answers = answersOf(
    [
      [0.9, 0.05],
      [0.8, 0.1],
      [0.95, 0.02],
      [0.7, 0.2],
      [0.9, 0.06],
      [0.85, 0.05],
    ],
    5,
  );
  const positions = Int32Array.from([0, 1, 0, -1, 0, -1]);

  it('makes the labels likelier than any other', () => {
    const fitted = fittedTemperature(answers, positions);
    for (const other of [0.5, 0.9 * fitted, 1.1 * fitted, 10])
      expect(logLikelihood(answers, positions, fitted)).toBeGreaterThan(logLikelihood(answers, positions, other));
  });

  it('is above 1 for a network that is too sure, below for one that is not sure enough', () => {
    expect(fittedTemperature(answers, positions)).toBeGreaterThan(1);
    const timid = answersOf(
      Array.from({length: 20}, () => [0.6, 0.4]),
      2,
    );
    expect(
      fittedTemperature(
        timid,
        Int32Array.from({length: 20}, (_, image) => (image === 0 ? 1 : 0)),
      ),
    ).toBeLessThan(1);
  });

  it('stays within bounds where a few images are all right or all wrong', () => {
    const few = answersOf(
      [
        [0.9, 0.1],
        [0.6, 0.4],
      ],
      2,
    );
    expect(fittedTemperature(few, Int32Array.from([0, 0]))).toBeCloseTo(0.5, 6);
    expect(fittedTemperature(few, Int32Array.from([1, 1]))).toBeCloseTo(20, 4);
    expect(fittedTemperature(few, new Int32Array(0))).toBe(1);
  });

  it('bears answers that rounding made certain', () => {
    const certain: KeptAnswers = {kept: 2, classes: 10, logProb: (_, position) => (position === 0 ? 0 : -30)};
    expect(fittedTemperature(certain, Int32Array.from([0, -1]))).toBeGreaterThan(1);
    expect(probability(certain, 0, 0, 1)).toBeCloseTo(1, 6);
  });
});

describe('the probability of a class', () => {
  const answers = answersOf([[0.6, 0.2]], 6);

  it('is what was said at a temperature of 1', () => {
    expect(probability(answers, 0, 0, 1)).toBeCloseTo(0.6, 12);
    expect(probability(answers, 0, 1, 1)).toBeCloseTo(0.2, 12);
  });

  it('is evened out above 1, the classes that were not kept among the others', () => {
    const root = (value: number) => Math.sqrt(value);
    expect(probability(answers, 0, 0, 2)).toBeCloseTo(root(0.6) / (root(0.6) + root(0.2) + 4 * root(0.05)), 12);
  });
});
