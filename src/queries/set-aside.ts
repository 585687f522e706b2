/** What a run set aside, and why. */
import type {Store} from '../store/open.js';
import type {QuarantineRow} from '../store/quarantine.js';

export interface SetAside {
  readonly images: number;
  /** The most frequent reason first. */
  readonly reasons: readonly {readonly stage: string; readonly code: string; readonly images: number}[];
  /** The first of them, in the order in which they were found. */
  readonly examples: readonly QuarantineRow[];
}

export function setAsideBy({quarantine}: Store, examples: number): SetAside {
  const reasons = quarantine.counts();
  return {
    images: reasons.reduce((sum, {images}) => sum + images, 0),
    reasons,
    examples: quarantine.some('%', examples),
  };
}
