/** How many labelled images of a class are for what (pure). */

/** How the labelled images are drawn apart, class by class. */
export interface Draw {
  /** Labelled images a class; null: all. */
  readonly labelledPerClass: number | null;
  /**
   * Where no validation source is given: so many a class beside the labelled ones, or a share of the labelled ones, but
   * never more than half of them.
   */
  readonly validation: {readonly perClass: number} | {readonly share: number; readonly atLeast: number} | null;
}

/** Of a class that has so many: the first are to validate with, those behind them to train on, and the rest is left over. */
export function drawSizes(
  images: number,
  {labelledPerClass, validation}: Draw,
): {readonly validation: number; readonly train: number} {
  const wanted = labelledPerClass ?? Infinity;
  if (validation !== null && 'share' in validation) {
    const labelled = Math.min(wanted, images);
    const {share, atLeast} = validation;
    const taken = Math.min(Math.floor(labelled / 2), Math.max(atLeast, Math.ceil(share * labelled)));
    return {validation: taken, train: labelled - taken};
  }
  const beside = Math.min(images, validation?.perClass ?? 0);
  return {validation: beside, train: Math.min(wanted, images - beside)};
}
