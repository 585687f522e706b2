/** How long trainings go on where that is left to pupil. */
import {type Config} from '../config/schema.js';
import {REFERENCE_BATCH, trainingSettings} from '../config/rules.js';

const LEAST_EPOCHS = 30;
/**
 * A student that starts from nothing, and learns from labels that are partly wrong, needs more steps than its teacher
 * had: with as many it ends behind it where the pool is small, whatever was selected.
 */
const TEACHERS_TRAININGS = 2;

/** What decides it, besides the pictures. */
export interface LengthSettings {
  /** Null where it is left to pupil. */
  readonly epochs: number | null;
  readonly batchSize: number;
  readonly labelledShare: number;
  readonly teacher: {readonly epochs: number; readonly batchSize: number};
}

export function lengthSettings(config: Config, size: number): LengthSettings {
  const batchOf = (step: 'teacher' | 'pretrain') => trainingSettings(config, step, size).batchSize ?? REFERENCE_BATCH;
  return {
    epochs: trainingSettings(config, 'pretrain', size).epochs,
    batchSize: batchOf('pretrain'),
    labelledShare: config.pretrain.labelled_share,
    teacher: {epochs: config.teacher.epochs, batchSize: batchOf('teacher')},
  };
}

/**
 * The epochs of pre-training on `samples` (class, image) pairs: 30, and where those are fewer steps than twice a
 * training on the `labelled` pictures alone, as many as that takes. A teacher that was given counts as one that was
 * trained for teacher.epochs.
 */
export function pretrainingEpochs(
  {epochs, batchSize, labelledShare, teacher}: LengthSettings,
  {samples, labelled}: {readonly samples: number; readonly labelled: number},
): number {
  if (epochs !== null) return epochs;
  const teacherSteps = teacher.epochs * stepsPerEpoch(labelled, teacher.batchSize, 0);
  return Math.max(
    LEAST_EPOCHS,
    Math.ceil((TEACHERS_TRAININGS * teacherSteps) / stepsPerEpoch(samples, batchSize, labelledShare)),
  );
}

/**
 * As the trainer cuts an epoch: labelled pictures take the place of others in a batch, and no batch has a single
 * sample.
 */
export const stepsPerEpoch = (samples: number, batchSize: number, labelledShare: number): number =>
  Math.max(
    1,
    Math.min(
      Math.ceil(samples / Math.max(1, batchSize - Math.round(labelledShare * batchSize))),
      Math.floor(samples / 2),
    ),
  );

/** The epochs on so many labelled pictures that come nearest to so many steps. */
export const epochsOf = (steps: number, labelled: number, batchSize: number): number =>
  Math.max(1, Math.round(steps / stepsPerEpoch(labelled, batchSize, 0)));
