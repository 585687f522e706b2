/**
 * How much to select where that is left to pupil: P, the classes that an image is a candidate for, and K, the images that a class keeps.
 *
 * The paper (Yalniz et al., arXiv 1905.00546, section 5) found P = 10 best for 1,000 classes, and for a pool in which a class has a million
 * images K = 16,000. Neither carries over to few classes or a small pool: where P and K let every image stand for every class, nothing is
 * selected, and a student of that unlearns what its teacher knew.
 */

/** The paper's, for its 1,000 classes and its billion images: more was never worth it there. */
const PAPERS_P = 10;
const PAPERS_CLASSES = 1000;
const PAPERS_K = 16_000;

/** P grows with the root of the number of classes, through the paper's point: 1 for up to 22 classes, 3 for 100, 10 from 1,000 on. */
export const fittingTopP = (classes: number): number => Math.min(PAPERS_P, classes, Math.max(1, Math.round(PAPERS_P * Math.sqrt(classes / PAPERS_CLASSES))));

/** The P that is taken: what was given, never more than there are classes, or the one that fits. */
export const takenTopP = (given: number | 'auto', classes: number): number => (given === 'auto' ? fittingTopP(classes) : Math.min(given, classes));

/**
 * K is the number of pool images that the teacher may be expected to be right about, for the mean class: the sum of the calibrated
 * probabilities of the pool's best classes, shared out among the classes. So it grows with the pool, and is the smaller the less the
 * teacher is sure of that pool, be it weak or the pool of another domain. Each class then keeps about as many as it has right ones,
 * the surest of them first. `experiments/small-data.yaml` shows what comes of it.
 */
export const fittingTopK = (expectedRight: number, classes: number): number => Math.min(PAPERS_K, Math.max(1, Math.round(expectedRight / classes)));

/** From here on a selection tells classes apart no more: labels that contradict each other teach little, and unteach what the teacher knew. */
const MOST_CLASSES_AN_IMAGE = 3;
const MOST_OF_ALL_PAIRS = 1 / 3;

/** Whether a selection puts its images in so many classes that a student cannot learn from it what tells them apart. */
export const isCrowded = ({classes, scored, selected, images}: {readonly classes: number; readonly scored: number; readonly selected: number; readonly images: number}): boolean =>
  selected > MOST_OF_ALL_PAIRS * classes * scored || selected > Math.min(MOST_CLASSES_AN_IMAGE, classes - 1) * images;
