/** Everything that the report of a run shows; stages/report.ts gathers it, html.ts draws it. */
import type {ReliabilityBin} from '../children/protocol.js';
import type {ExperimentResults} from './experiment-results.js';
import type {RoundData} from './rounds-section.js';
import type {Results, SelectionCounts} from '../events.js';

/** One training's curves: readings at most one a second, and what validation said after an epoch. */
export interface Curve {
  /** teacher, supervised baseline, student pre-training, student fine-tuning. */
  readonly title: string;
  readonly steps: readonly StepReading[];
  readonly evaluations: readonly {
    readonly epoch: number;
    readonly top1: number;
    readonly top5: number;
    readonly loss: number;
  }[];
  readonly bestEpoch: number;
}

export interface StepReading {
  readonly step: number;
  readonly totalSteps: number;
  readonly loss: number;
  readonly lr: number;
  readonly imagesPerSecond: number;
  readonly memoryBytes: number;
}

/** Of one key what each step took, in the order of the steps; null where the key means nothing to it. */
export interface SettingsRow {
  readonly key: string;
  readonly values: readonly (string | null)[];
}

/** The settings that the training steps went by, every `auto` resolved. */
export interface UsedSettings {
  readonly steps: readonly string[];
  /** Keys in which the steps differ. */
  readonly different: readonly SettingsRow[];
  /** Keys that have one value wherever they mean something. */
  readonly alike: readonly {readonly key: string; readonly value: string}[];
  /** Keys of what no step did. */
  readonly off: readonly string[];
}

/** Expected calibration errors as fractions, before and after the temperature. */
interface CalibrationErrors {
  readonly before: number;
  readonly after: number;
}

/** How far one model's probabilities can be trusted. */
export interface ReportCalibration {
  readonly model: keyof Results;
  readonly temperature: number;
  /** On the validation set, on which the temperature was fitted; null where it was not measured there. */
  readonly validation: CalibrationErrors | null;
  /** On the set that the results come from. */
  readonly evaluated: CalibrationErrors;
  readonly bins: {readonly before: readonly ReliabilityBin[]; readonly after: readonly ReliabilityBin[]};
}

export interface ReportClass {
  readonly name: string;
  readonly candidates: number;
  readonly selected: number;
  /** Log-probability of the last kept image; null where none was kept. */
  readonly cutoff: number | null;
  /** Best, middle and last ranked images; `picture` is a data URI, null where it could not be read. */
  readonly examples: readonly {
    readonly rank: number;
    readonly score: number;
    readonly image: string;
    readonly place: string;
    readonly picture: string | null;
  }[];
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
  /**
   * The same for the mean answer to a picture and its mirror image; null where that was not asked for. Never the
   * headline.
   */
  readonly flipped: Results | null;
  readonly calibration: readonly ReportCalibration[];
  /** Which set the results come from, and how many images it has. */
  readonly set: 'test' | 'validation';
  readonly evaluatedImages: number;
  /** Steps of the student in both trainings and of the baseline; null without a baseline. */
  readonly steps: {readonly student: number; readonly supervised: number} | null;
  readonly counts: {
    readonly classes: number;
    readonly train: number;
    readonly validation: number;
    readonly test: number;
    readonly pool: number;
    readonly leaks: number;
  };
  readonly selection: SelectionCounts;
  readonly stages: readonly ReportStage[];
  readonly curves: readonly Curve[];
  readonly settings: UsedSettings;
  readonly classes: readonly ReportClass[];
  /** What was set aside, by stage and code. */
  readonly quarantine: readonly {readonly stage: string; readonly code: string; readonly images: number}[];
  /** The rounds before this one, and this one last. */
  readonly rounds: readonly RoundData[];
  /** The experiment that the run is a part of. */
  readonly experiment: ExperimentResults | null;
  /** The whole configuration as YAML. */
  readonly config: string;
}
