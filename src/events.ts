/** The one union of everything that long-running work reports; report/terminal.ts gives each event its words. */
import type {ErrorCode} from './errors.js';

export const stageNames = [
  'prepare',
  'teacher',
  'export',
  'score',
  'select',
  'pretrain',
  'finetune',
  'baseline',
  'evaluate',
  'report',
] as const;
export type StageName = (typeof stageNames)[number];

/** Accuracies as fractions of the images. */
export interface Accuracy {
  readonly top1: number;
  readonly top5: number;
}

/** A figure for each part of scoring; they work side by side. */
export interface ScoringParts {
  readonly reading: number;
  readonly decoding: number;
  readonly inferring: number;
  readonly writing: number;
}

/** Those figures, one part after the other. */
export const eachPart = (figure: (part: keyof ScoringParts) => number): ScoringParts => ({
  reading: figure('reading'),
  decoding: figure('decoding'),
  inferring: figure('inferring'),
  writing: figure('writing'),
});

/** The test set's verdict. `supervised` is the equal-step baseline; null where it was not asked for. */
export interface Results {
  readonly teacher: Accuracy | null;
  readonly supervised: Accuracy | null;
  readonly studentPretrained: Accuracy | null;
  readonly student: Accuracy | null;
}

/**
 * How far a model's probabilities can be trusted: expected calibration errors (fractions) before and after dividing the
 * logits by `temperature`.
 */
export interface Calibration {
  readonly temperature: number;
  readonly eceBefore: number;
  readonly eceAfter: number;
}

export interface SelectionCounts {
  readonly classes: number;
  readonly topP: number;
  readonly topK: number;
  readonly scored: number;
  readonly candidates: number;
  readonly selected: number;
  readonly shortClasses: number;
  /** Different images among the selected pairs. */
  readonly images: number;
  /**
   * Share of the selected pairs that are right if the teacher is as often right as its probabilities, calibrated on
   * validation, say.
   */
  readonly expectedPrecision: number;
}

/** What became of a stage in one orchestration. */
export type StageStatus = 'ran' | 'fresh' | 'skipped';

/** What became of a run in one orchestration, and what it has come to; null what it has not come to yet. */
export interface Outcome {
  readonly run: string;
  readonly stages: Partial<Record<StageName, {readonly status: StageStatus; readonly seconds: number}>>;
  readonly results: Results | null;
  /** Accuracies with mirror images as well, which never are the headline; null where they were not asked for, too. */
  readonly flipped: Results | null;
  /** On the set that the results come from. */
  readonly calibration: Readonly<Partial<Record<keyof Results, Calibration>>> | null;
  readonly selection: SelectionCounts | null;
  /** The accuracies in one sentence, which claims no more than so many images can tell; null without results. */
  readonly verdict: string | null;
}

/** A stage's events carry its name and, where it has several parts (pack train, pack test), the part's. */
interface OfStage {
  readonly stage: StageName;
  readonly part: string;
}

export type Event =
  /**
   * A run of an experiment begins; `secondsLeft` of all of them, from what earlier ones took, null where none was
   * measured.
   */
  | {
      readonly type: 'run_started';
      readonly run: string;
      readonly position: number;
      readonly total: number;
      readonly secondsLeft: number | null;
    }
  /** One run of an experiment failed; the others go on. */
  | {
      readonly type: 'run_failed';
      readonly run: string;
      readonly exitCode: number;
      readonly code: ErrorCode;
      readonly message: string;
    }
  | {readonly type: 'started'; readonly run: string; readonly home: string; readonly device: string}
  | {readonly type: 'stage_fresh'; readonly stage: StageName; readonly reason: string}
  /** What it would come to was made before, by the run `from`. */
  | {readonly type: 'stage_taken'; readonly stage: StageName; readonly from: string}
  | {readonly type: 'stage_skipped'; readonly stage: StageName; readonly reason: string}
  | {readonly type: 'stage_started'; readonly stage: StageName; readonly reason: string}
  | {readonly type: 'stage_finished'; readonly stage: StageName; readonly seconds: number; readonly summary: string}
  | ({readonly type: 'device'; readonly device: string; readonly runtime: string} & OfStage)
  /** `busy`: of scoring alone, the share of the last second or so in which each part was at work. */
  | ({
      readonly type: 'progress';
      readonly done: number;
      readonly total: number | null;
      readonly imagesPerSecond: number;
      readonly busy?: ScoringParts;
    } & OfStage)
  /**
   * A training starts or goes on: what was told before of later steps than `step`, or of later epochs than `epoch`, no
   * longer holds.
   */
  | ({readonly type: 'begun'; readonly step: number; readonly epoch: number} & OfStage)
  | ({
      readonly type: 'step';
      readonly step: number;
      readonly totalSteps: number;
      readonly epoch: number;
      readonly loss: number;
      readonly lr: number;
      readonly imagesPerSecond: number;
      /** The most held so far on a GPU, or what the trainer holds in main memory now. */
      readonly memoryBytes: number;
    } & OfStage)
  | ({
      readonly type: 'evaluated';
      readonly epoch: number;
      readonly top1: number;
      readonly top5: number;
      readonly loss: number;
    } & OfStage)
  | ({readonly type: 'checkpoint'; readonly epoch: number; readonly path: string} & OfStage)
  | {
      readonly type: 'dataset_started';
      readonly dataset: string;
      readonly title: string;
      readonly contents: string;
      readonly address: string;
      /** Of the download. */
      readonly bytes: number;
      readonly path: string;
      readonly terms: string;
    }
  | {
      readonly type: 'dataset_progress';
      readonly dataset: string;
      readonly part: 'downloading' | 'unpacking';
      readonly done: number;
      readonly total: number | null;
      readonly unit: 'bytes' | 'files';
      readonly perSecond: number;
    }
  | {
      readonly type: 'dataset_ready';
      readonly dataset: string;
      readonly path: string;
      readonly status: 'fetched' | 'there';
    }
  | {readonly type: 'note'; readonly stage: StageName | null; readonly message: string}
  | {readonly type: 'warning'; readonly stage: StageName | null; readonly message: string}
  /** Of the last round, with those of every round in order. */
  | ({
      readonly type: 'done';
      readonly seconds: number;
      readonly rounds: readonly Pick<Outcome, 'run' | 'results' | 'selection'>[];
    } & Outcome)
  | {readonly type: 'failed'; readonly exitCode: number; readonly code: ErrorCode; readonly message: string};

export type Emit = (event: Event) => void;
