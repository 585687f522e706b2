/** Everything that the report of a run shows; stages/report.ts gathers it, html.ts draws it. */
import type {Results, SelectionCounts} from '../events.js';

/** One training's curves. `lossByStep`: training loss and learning rate, at most one point a second. */
export interface Curve {
  /** teacher, supervised baseline, student pre-training, student fine-tuning. */
  readonly title: string;
  readonly steps: readonly {readonly step: number; readonly loss: number; readonly lr: number; readonly imagesPerSecond: number}[];
  readonly evaluations: readonly {readonly epoch: number; readonly top1: number; readonly top5: number; readonly loss: number}[];
  readonly bestEpoch: number;
}

export interface ReportClass {
  readonly name: string;
  readonly candidates: number;
  readonly selected: number;
  /** Log-probability of the last kept image; null where none was kept. */
  readonly cutoff: number | null;
  /** Best, middle and last ranked images; `picture` is a data URI, null where it could not be read. */
  readonly examples: readonly {readonly rank: number; readonly score: number; readonly image: string; readonly place: string; readonly picture: string | null}[];
}

export interface ReportStage {
  readonly name: string;
  readonly status: string;
  readonly seconds: number;
  /** The stage's own line of summary. */
  readonly headline: string;
  readonly imagesPerSecond: number | null;
}

export interface ReportData {
  readonly run: string;
  /** One line on what the configuration is; empty where it has none. */
  readonly about: string;
  readonly finishedAt: string;
  readonly pupil: string;
  readonly device: string;
  readonly seed: number;
  readonly results: Results;
  /** Which set the results come from, and how many images it has. */
  readonly set: 'test' | 'validation';
  readonly evaluatedImages: number;
  /** Steps of the student in both trainings and of the baseline; null without a baseline. */
  readonly steps: {readonly student: number; readonly supervised: number} | null;
  readonly counts: {readonly classes: number; readonly train: number; readonly validation: number; readonly test: number; readonly pool: number; readonly leaks: number};
  readonly selection: SelectionCounts;
  readonly stages: readonly ReportStage[];
  readonly curves: readonly Curve[];
  readonly classes: readonly ReportClass[];
  /** What was set aside, by stage and code. */
  readonly quarantine: readonly {readonly stage: string; readonly code: string; readonly images: number}[];
  /** The whole configuration as YAML. */
  readonly config: string;
}
