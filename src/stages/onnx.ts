/** Turns a trained network into the ONNX file that scores and predicts, and proves that both give the same answers. */
import {writeFile} from 'node:fs/promises';
import {PROTOCOL, type TaskResult} from '../children/protocol.js';
import type {Calibration, StageName} from '../events.js';
import {UserError} from '../errors.js';
import {publishFile} from '../files/publish.js';
import {percent} from '../words.js';
import type {StageContext} from './context.js';
import type {ImageSizes} from './image-settings.js';
import {runTrainer, runWorker} from './tasks.js';
import {defaultLayout} from './scoring-layout.js';

/**
 * Largest difference of log-probabilities that rounding explains: kernels sum in another order, and a GPU's more so.
 */
const LARGEST_DIFFERENCE = 0.02;
/** Images on the edge of two classes may fall to either side. */
const LEAST_AGREEMENT = 0.995;

/**
 * What is said of an exported network: its parity with PyTorch, and how far its probabilities can be trusted on
 * validation.
 */
export type Exported = TaskResult<'measure'> & {readonly calibration: Calibration};

export interface Exporting {
  readonly stage: StageName;
  readonly folder: string;
  readonly temperature: number | 'fit';
  /** Classes that it answers for each image. */
  readonly kept: number;
  readonly seed: number;
  readonly sizes: ImageSizes;
}

/**
 * Exports models/RUN/FOLDER/model.safetensors beside itself as model.onnx, with model.json for whoever uses it
 * elsewhere, and compares the two networks on the validation set. `temperature` divides the logits; `fit` finds the one
 * that validation likes best. Throws (exit 5) where PyTorch and onnxruntime disagree.
 */
export async function exportOnnx(
  context: StageContext,
  {stage, folder, temperature, kept, seed, sizes}: Exporting,
): Promise<Exported> {
  const {paths, device, threads} = context;
  const output = paths.model(folder, 'model.onnx');
  const reference = paths.model(folder, 'reference.bin');
  const {
    temperature: taken,
    eceBefore,
    eceAfter,
  } = await runTrainer<'export'>(
    context,
    {
      protocol: PROTOCOL,
      task: 'export',
      device,
      threads,
      seed,
      model: paths.model(folder, 'model.safetensors'),
      temperature: temperature === 'fit' ? null : temperature,
      kept,
      batchSize: defaultLayout(context).batchSize,
      validationPack: paths.pack('validation'),
      output,
      reference,
    },
    {stage, part: 'export'},
  );
  const parity = await measureOnnx(context, {stage, model: output, pack: 'validation', reference});
  const {largestDifference, top1Agreement} = parity;
  if (largestDifference === null || top1Agreement === null)
    throw new Error('The worker measured no parity although it had a reference.');
  if (largestDifference > LARGEST_DIFFERENCE || top1Agreement < LEAST_AGREEMENT) {
    throw new UserError(
      'NO_PARITY',
      `PyTorch and onnxruntime disagree on the validation images: log-probabilities differ by up to ${largestDifference.toPrecision(2)} (allowed ${LARGEST_DIFFERENCE}), ` +
        `and ${percent(top1Agreement)} have the same best class (at least ${percent(LEAST_AGREEMENT)} expected). Nothing was scored. ` +
        'Please report this with the output of pupil doctor; --device cpu may help meanwhile.',
    );
  }
  await publishFile(paths.model(folder, 'model.json'), temporary =>
    writeFile(temporary, aboutModel(context, {kept, sizes, temperature: taken})),
  );
  return {...parity, calibration: {temperature: taken, eceBefore, eceAfter}};
}

/** What the metadata of the ONNX file say as well; not every runtime shows those. See docs/MODEL.md. */
function aboutModel(
  {store}: StageContext,
  {kept, sizes: {size, resize}, temperature}: Pick<Exporting, 'kept' | 'sizes'> & {temperature: number},
): string {
  return `${JSON.stringify({size, resize, kept, temperature, classes: store.images.classes()}, null, 2)}\n`;
}

/** How the calibration reads in a stage's headline; nothing where the softmax was left alone. */
export const calibrationWords = ({temperature, eceBefore, eceAfter}: Calibration): string =>
  temperature === 1
    ? ''
    : `; temperature ${temperature.toFixed(2)}: calibration error ${percent(eceBefore)} -> ${percent(eceAfter)}`;

/** Accuracy of an ONNX file on a pack, and its parity where there is a reference. */
export const measureOnnx = (
  context: StageContext,
  {
    stage,
    model,
    pack,
    reference,
  }: {readonly stage: StageName; readonly model: string; readonly pack: string; readonly reference: string | null},
): Promise<TaskResult<'measure'>> =>
  runWorker<'measure'>(
    context,
    {
      protocol: PROTOCOL,
      task: 'measure',
      model,
      device: context.device,
      threads: context.threads,
      batchSize: defaultLayout(context).batchSize,
      pack: context.paths.pack(pack),
      reference,
    },
    {stage, part: 'compare'},
  );
