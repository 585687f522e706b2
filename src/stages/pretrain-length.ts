/** How long pre-training goes on where that is left to pupil. */
import {type Config} from '../config/schema.js';
import {REFERENCE_BATCH, trainingSettings} from '../config/rules.js';

const LEAST_EPOCHS = 30;
/**
 * A student that starts from nothing, and learns from labels that are partly wrong, needs more steps than its teacher
 * had: with as many it ends behind it where the pool is small, whatever was selected.
 */
const TEACHERS_TRAININGS = 2;

/**
 * The epochs of pre-training on `samples` (class, image) pairs: 30, and where those are fewer steps than twice a
 * training on the `labelled` pictures alone, as many as that takes. A teacher that was given counts as one that was
 * trained for teacher.epochs.
 */
export function pretrainingEpochs(
  config: Config,
  {samples, labelled, size}: {readonly samples: number; readonly labelled: number; readonly size: number},
): number {
  const {epochs, batchSize} = trainingSettings(config, 'pretrain', size);
  if (epochs !== null) return epochs;
  const teacherSteps =
    config.teacher.epochs *
    Math.ceil(labelled / (trainingSettings(config, 'teacher', size).batchSize ?? REFERENCE_BATCH));
  return Math.max(
    LEAST_EPOCHS,
    Math.ceil(
      (TEACHERS_TRAININGS * teacherSteps) /
        stepsPerEpoch(samples, batchSize ?? REFERENCE_BATCH, config.pretrain.labelled_share),
    ),
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
