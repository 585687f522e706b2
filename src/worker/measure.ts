/** The `measure` task: an ONNX model's accuracies on a pack, and how far its answers lie from PyTorch's. */
import {readFile} from 'node:fs/promises';
import type {TaskOf, TaskResult} from '../children/protocol.js';
import {openPack} from '../images/pack.js';
import {fittedTemperature} from '../ranking/calibration.js';
import {trackProgress} from './events.js';
import {WorkerFailure} from './failure.js';
import {AnswersSeen, judgeAnswers} from './judge-answers.js';
import {NetworkOverLimit} from './network-limit.js';
import {BATCH_ADVICE, matchClasses, openSession, type Answers, type Session} from './session.js';
import type {TaskContext} from './task-context.js';

const CHANNELS = 3;
const VALUE_BYTES = 4;
/** Of log-probabilities; what float32 rounds. */
const TOLERANCE = 1e-4;

/** `kept` answers for each of N images, best first. */
interface AnswerTable {
  logProbs: Float32Array;
  classes: Int32Array;
}

/**
 * PyTorch's answers as the trainer's export wrote them: N x kept float32 log-probabilities, then N x kept int32
 * classes, little-endian.
 */
async function readReference(path: string, images: number, kept: number): Promise<AnswerTable> {
  const bytes = await readFile(path);
  const values = images * kept;
  if (bytes.length !== 2 * values * VALUE_BYTES)
    throw new WorkerFailure(
      'data',
      `${path} has ${bytes.length} bytes; expected ${2 * values * VALUE_BYTES} for ${images} images and ${kept} classes.`,
    );
  return {
    logProbs: Float32Array.from({length: values}, (_, i) => bytes.readFloatLE(i * VALUE_BYTES)),
    classes: Int32Array.from({length: values}, (_, i) => bytes.readInt32LE((values + i) * VALUE_BYTES)),
  };
}

/**
 * The largest difference of a log-probability that both list for the same image and class, and the share of images with
 * the same best class.
 */
export function compareAnswers(
  ours: AnswerTable,
  reference: AnswerTable,
  images: number,
  kept: number,
): {largestDifference: number; top1Agreement: number} {
  let largestDifference = 0;
  let agreeing = 0;
  for (let image = 0; image < images; image++) {
    const first = image * kept;
    if (ours.classes[first] === reference.classes[first]) agreeing++;
    for (let at = first; at < first + kept; at++) {
      const there = reference.classes.subarray(first, first + kept).indexOf(ours.classes[at] ?? -1);
      if (there === -1) continue;
      // Math.max keeps a NaN, once there is one.
      largestDifference = Math.max(
        largestDifference,
        Math.abs((ours.logProbs[at] ?? 0) - (reference.logProbs[first + there] ?? 0)),
      );
    }
  }
  return {largestDifference, top1Agreement: images === 0 ? 0 : agreeing / images};
}

/**
 * Throws a `gate` failure for answers that nothing can be ranked by: the same for every image, and of a model that is
 * compared with no other not finite, or of probabilities above 1.
 */
export function checkAnswers(
  {logProbs, classes}: AnswerTable,
  {images, kept, isCompared}: {images: number; kept: number; isCompared: boolean},
): void {
  const isLikeFirst = (at: number) =>
    classes[at] === classes[at % kept] && Math.abs((logProbs[at] ?? 0) - (logProbs[at % kept] ?? 0)) < TOLERANCE;
  if (images > 1 && classes.every((_, at) => isLikeFirst(at))) {
    const todo = isCompared
      ? 'It learnt nothing: lower the learning_rate that it was trained with.'
      : 'Check teacher.input, teacher.mean and teacher.std.';
    throw new WorkerFailure('gate', `The ONNX model gives all ${images} images the same answer. ${todo}`);
  }
  if (isCompared) return;
  if (!logProbs.every(Number.isFinite)) throw new WorkerFailure('gate', 'The ONNX model answers NaN or infinity.');
  if (logProbs.some(logProb => logProb > TOLERANCE))
    throw new WorkerFailure(
      'gate',
      'The ONNX model answers probabilities above 1. Set teacher.output to what it truly answers.',
    );
}

/**
 * How far a log-probability may depend on the other pictures of a batch; 8-bit scales that are found while it runs stay
 * below.
 */
const LARGEST_INFLUENCE = 0.1;

/**
 * The network's answers to a batch. Throws where it has none, saying so in other words where it would take the pictures
 * one at a time.
 */
async function answersTo(pixels: Uint8Array<ArrayBuffer>, session: Session, task: TaskOf<'measure'>): Promise<Answers> {
  const first = pixels.slice(0, session.model.size ** 2 * CHANNELS);
  try {
    return await session.run(pixels, {withGiven: session.model.answers !== undefined});
  } catch (error) {
    const mayBeTheBatch =
      error instanceof WorkerFailure && error.reason === 'model' && !(error instanceof NetworkOverLimit);
    if (!mayBeTheBatch || task.batchSize === 1) throw error;
    const alone = await openSession(task.model, task.device, {batchSize: 1, networks: 1, networkThreads: task.threads});
    try {
      await alone.run(first);
    } catch {
      throw error;
    } finally {
      await alone.close();
    }
    throw new WorkerFailure(
      'model',
      `The ONNX model answers one picture at a time, and not ${task.batchSize} at once. ${BATCH_ADVICE}`,
      {cause: error},
    );
  }
}

/**
 * Throws a `model` failure where the answer to a picture depends on those beside it: scores would depend on what is
 * scored together.
 */
async function checkIndependence(pixels: Uint8Array, {logProbs, classes}: Answers, session: Session): Promise<void> {
  const {size, kept} = session.model;
  const picture = pixels.subarray(0, size ** 2 * CHANNELS);
  const copies = new Uint8Array(pixels.length);
  for (let at = 0; at < copies.length; at += picture.length) copies.set(picture, at);
  const {largestDifference, top1Agreement} = compareAnswers(await session.run(copies), {logProbs, classes}, 1, kept);
  // Those that are no numbers are told of with all answers.
  if (
    Number.isNaN(largestDifference) ||
    (largestDifference <= LARGEST_INFLUENCE && (top1Agreement === 1 || largestDifference > 0))
  )
    return;
  throw new WorkerFailure(
    'model',
    `The ONNX model answers a picture otherwise beside other pictures: log-probabilities differ by ${largestDifference.toPrecision(2)}, so that a score would depend on what is scored with it. ` +
      'Export it for inference (model.eval()), with its softmax over the classes.',
  );
}

/**
 * Runs the model over every row of the pack. Accuracies are over samples, as an image may stand under several labels.
 */
export async function measure(
  task: TaskOf<'measure'>,
  {signal, emit}: Pick<TaskContext, 'signal' | 'emit'>,
): Promise<TaskResult<'measure'>> {
  const pack = await openPack(task.pack);
  try {
    const session = await openSession(task.model, task.device, {
      batchSize: task.batchSize,
      networks: 1,
      networkThreads: task.threads,
    });
    try {
      const {kept, size, classes, answers: claim} = session.model;
      if (pack.size !== size)
        throw new WorkerFailure('model', `The model takes ${size} px, ${task.pack} holds ${pack.size} px.`);
      const classIndex = matchClasses(classes, pack.classes);
      const answers: AnswerTable = {
        logProbs: new Float32Array(pack.images * kept),
        classes: new Int32Array(pack.images * kept),
      };
      const seen = new AnswersSeen();
      const count = trackProgress(emit, pack.images);
      let batch = new Uint8Array(task.batchSize * size * size * CHANNELS);
      for (let first = 0; first < pack.images; first += task.batchSize) {
        signal.throwIfAborted();
        const images = Math.min(task.batchSize, pack.images - first);
        await pack.readRows(first, images, batch);
        const copy = first === 0 && claim !== undefined ? batch.slice() : null;
        const answered = await answersTo(batch, session, task);
        if (copy !== null) await checkIndependence(copy, answered, session);
        const {logProbs, classes: found, given, pixels} = answered;
        if (given !== null) seen.add(given.subarray(0, images * classes.length), classes.length);
        answers.logProbs.set(logProbs.subarray(0, images * kept), first * kept);
        answers.classes.set(found.subarray(0, images * kept), first * kept);
        batch = pixels;
        await count(images);
      }

      checkAnswers(answers, {images: pack.images, kept, isCompared: task.reference !== null});
      const remark = claim === undefined ? null : judgeAnswers(claim, seen);
      if (remark !== null) await emit({type: 'note', message: remark});
      let [top1, top5] = [0, 0];
      const positions = new Int32Array(pack.images);
      for (let sample = 0; sample < pack.samples; sample++) {
        const [image = 0, label] = pack.samplePairs.subarray(2 * sample, 2 * sample + 2);
        const position = answers.classes
          .subarray(image * kept, (image + 1) * kept)
          .findIndex(found => classIndex[found] === label);
        positions[image] = position;
        if (position === 0) top1++;
        if (position >= 0 && position < 5) top5++;
      }
      const parity =
        task.reference === null
          ? null
          : compareAnswers(answers, await readReference(task.reference, pack.images, kept), pack.images, kept);
      if (parity !== null && !Number.isFinite(parity.largestDifference))
        throw new WorkerFailure('gate', 'The ONNX model or PyTorch answers NaN or infinity on the validation images.');
      const share = (samples: number) => (pack.samples === 0 ? 0 : samples / pack.samples);
      return {
        images: pack.images,
        top1: share(top1),
        top5: share(top5),
        fittedTemperature: fittedTemperature(
          {
            kept,
            classes: classes.length,
            logProb: (image, position) => answers.logProbs[image * kept + position] ?? NaN,
          },
          positions,
        ),
        largestDifference: parity?.largestDifference ?? null,
        top1Agreement: parity?.top1Agreement ?? null,
      };
    } finally {
      await session.close();
    }
  } finally {
    await pack.close();
  }
}
