/**
 * What a teacher's best classes of an image are worth as probabilities: a temperature fitted on validation, and the
 * probabilities under it.
 */

/**
 * A teacher's answers to a number of images: of each its `kept` best classes, best first, out of a list of `classes`.
 */
export interface KeptAnswers {
  readonly kept: number;
  readonly classes: number;
  /** The natural log-probability of the class at `position` (from 0) among the kept ones of an image. */
  readonly logProb: (image: number, position: number) => number;
}

/**
 * No network is trusted beyond these: where validation is small and all of it right, the likelihood grows without end
 * as the temperature falls, and where all of it is wrong, as it rises.
 */
const LOWEST = 0.5;
const HIGHEST = 20;
const HALVINGS = 40;

/** What is left of 1 beside the kept classes may be nothing at all, or, by rounding, less. */
const LEAST_LEFT = 1e-12;

/**
 * The temperature that divides the logits under which the labels of validation are likeliest (Guo et al., arXiv
 * 1706.04599, section 4.2). `positions` holds, for each image, where its label stands among the kept classes, -1 where
 * it does not; what the kept ones leave of 1 is taken as spread evenly over all others. The likelihood is concave in 1
 * / temperature, so halving an interval finds where its slope is 0: the mean log-probability that the softmax expects
 * is then that of the labels.
 */
export function fittedTemperature(answers: KeptAnswers, positions: Int32Array): number {
  if (positions.length === 0) return 1;
  let wanted = 0;
  for (const [image, position] of positions.entries())
    wanted += position === -1 ? logLeft(answers, image) : answers.logProb(image, position);
  let [low, high] = [Math.log(LOWEST), Math.log(HIGHEST)];
  for (let turn = 0; turn < HALVINGS; turn++) {
    const middle = (low + high) / 2;
    let expected = 0;
    for (let image = 0; image < positions.length; image++) expected += meanLogProb(answers, image, Math.exp(middle));
    if (expected > wanted) low = middle;
    else high = middle;
  }
  return Math.exp((low + high) / 2);
}

/** The probability of an image's class at `position`, once its logits are divided by `temperature`. */
export function probability(answers: KeptAnswers, image: number, position: number, temperature: number): number {
  const best = answers.logProb(image, 0);
  const weight = (logProb: number) => Math.exp((logProb - best) / temperature);
  return weight(answers.logProb(image, position)) / sumOver(answers, image, weight);
}

function meanLogProb(answers: KeptAnswers, image: number, temperature: number): number {
  const best = answers.logProb(image, 0);
  const weight = (logProb: number) => Math.exp((logProb - best) / temperature);
  return sumOver(answers, image, logProb => logProb * weight(logProb)) / sumOver(answers, image, weight);
}

function sumOver(answers: KeptAnswers, image: number, term: (logProb: number) => number): number {
  const {kept, classes} = answers;
  let sum = 0;
  for (let position = 0; position < kept; position++) sum += term(answers.logProb(image, position));
  return classes > kept ? sum + (classes - kept) * term(logLeft(answers, image)) : sum;
}

/** The log-probability of each class that was not kept. */
function logLeft({kept, classes, logProb}: KeptAnswers, image: number): number {
  let left = 1;
  for (let position = 0; position < kept; position++) left -= Math.exp(logProb(image, position));
  return Math.log(Math.max(left, LEAST_LEFT) / Math.max(1, classes - kept));
}
