/**
 * How much to select where that is left to pupil: P, the classes that an image is a candidate for, and K, the images
 * that a class keeps.
 *
 * The paper (Yalniz et al., arXiv 1905.00546, section 5) found P = 10 best for 1,000 classes, and for a pool in which a
 * class has a million images K = 16,000. Neither carries over to few classes or a small pool: where P and K let every
 * image stand for every class, nothing is selected, and a student of that unlearns what its teacher knew.
 */

/** The paper's, for its 1,000 classes and its billion images: more was never worth it there. */
const PAPERS_P = 10;
const PAPERS_CLASSES = 1000;
const PAPERS_K = 16_000;
const PAPERS_IMAGES_A_CLASS = 1_000_000;

/**
 * How K grows with the pool below the paper's point: of four times as many pictures, two and a half times as many are
 * kept. Found by `experiments/selection-size.yaml`.
 */
const GROWTH = 5 / 8;

/**
 * P grows with the root of the number of classes, through the paper's point: 1 for up to 22 classes, 3 for 100, 10 from
 * 1,000 on.
 */
export const fittingTopP = (classes: number): number =>
  Math.min(PAPERS_P, classes, Math.max(1, Math.round(PAPERS_P * Math.sqrt(classes / PAPERS_CLASSES))));

/** The P that is taken: what was given, never more than there are classes, or the one that fits. */
export const takenTopP = (given: number | 'auto', classes: number): number =>
  given === 'auto' ? fittingTopP(classes) : Math.min(given, classes);

/**
 * The K that fits a pool of `scored` images, of whose best classes the teacher may be expected to be right about
 * `expectedRight` (the sum of their calibrated probabilities). Two bounds, both for the mean class, and the lower one
 * holds:
 * - as many as the teacher is right about. The less it is sure of this pool, be it weak or the pool of another domain,
 *   the fewer;
 * - the larger the pool, the choosier: a power of its images a class that goes through the paper's 16,000 of a million.
 *   There are enough
 *   sure ones then, and the next one teaches less than its wrong neighbours unteach.
 */
export function fittingTopK({
  expectedRight,
  scored,
  classes,
}: {
  readonly expectedRight: number;
  readonly scored: number;
  readonly classes: number;
}): number {
  const choosy = PAPERS_K * (scored / classes / PAPERS_IMAGES_A_CLASS) ** GROWTH;
  return Math.max(1, Math.round(Math.min(PAPERS_K, choosy, expectedRight / classes)));
}

/**
 * From here on a selection tells classes apart no more: labels that contradict each other teach little, and unteach
 * what the teacher knew.
 */
const MOST_CLASSES_AN_IMAGE = 3;
const MOST_OF_ALL_PAIRS = 1 / 3;

/** Whether a selection puts its images in so many classes that a student cannot learn from it what tells them apart. */
export const isCrowded = ({
  classes,
  scored,
  selected,
  images,
}: {
  readonly classes: number;
  readonly scored: number;
  readonly selected: number;
  readonly images: number;
}): boolean =>
  selected > MOST_OF_ALL_PAIRS * classes * scored || selected > Math.min(MOST_CLASSES_AN_IMAGE, classes - 1) * images;
