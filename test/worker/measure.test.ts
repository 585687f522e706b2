import {readFile, writeFile} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import {InferenceSession, Tensor} from 'onnxruntime-node';
import {describe, expect, it} from 'vitest';
import {writePack} from '../../src/images/pack.js';
import {checkAnswers, compareAnswers} from '../../src/worker/measure.js';
import {pixelsOf} from '../images/pictures.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {resultOf, runWorker} from './worker-process.js';

const model = fileURLToPath(new URL('../fixtures/onnx/classifier-32.onnx', import.meta.url));
const classes = ['ant', 'bee', 'cat', 'dog', 'elk', 'fox'];
const IMAGES = 11;
const KEPT = 4;

/**
 * A pack of pictures, each under the label that `labelOf` gives it, and the model's answers to them, found in this
 * process.
 */
async function packAndAnswers(root: string, labelOf: (image: number, best: Int32Array) => number[]) {
  const session = await InferenceSession.create(model);
  const pixels = Uint8Array.from({length: IMAGES}, (_, i) => i).reduce<Buffer>(
    (all, i) => Buffer.concat([all, pixelsOf(i)]),
    Buffer.alloc(0),
  );
  const {log_prob: logProbs, class: found} = await session.run({
    images: new Tensor('uint8', new Uint8Array(pixels), [IMAGES, 32, 32, 3]),
  });
  const answers = {logProbs: logProbs!.data as Float32Array, classes: found!.data as Int32Array};
  await session.release();
  async function* rows() {
    for (let i = 0; i < IMAGES; i++)
      yield {
        id: String(i).padStart(24, '0'),
        pixels: pixelsOf(i),
        labels: labelOf(i, answers.classes.subarray(i * KEPT, (i + 1) * KEPT)),
        answers: null,
      };
  }
  await writePack(`${root}/pack`, {size: 32, classes, kept: 0}, rows());
  return answers;
}

const reference = ({logProbs, classes: found}: {logProbs: Float32Array; classes: Int32Array}) =>
  Buffer.concat([Buffer.from(logProbs.slice().buffer), Buffer.from(found.slice().buffer)]);

describe('measuring an ONNX model', () => {
  it('gives top-1 and top-5 over the samples of a pack, whatever the batch size', async () => {
    const root = await temporaryFolder();
    // The label is the best class for the first 3, the third best for the next 4, none of the kept for the others; the
    // last has two labels.
    await packAndAnswers(root, (image, best) => {
      const unlisted = classes.findIndex((_, index) => !best.includes(index));
      if (image === 10) return [best[0]!, unlisted];
      return [image < 3 ? best[0]! : image < 7 ? best[2]! : unlisted];
    });
    for (const batchSize of [1, 4, 100]) {
      const {result} = await resultOf('measure', {
        model,
        device: 'cpu',
        threads: 2,
        batchSize,
        pack: `${root}/pack`,
        reference: null,
      });
      expect(result).toEqual({
        images: 11,
        top1: 4 / 12,
        top5: 8 / 12,
        fittedTemperature: expect.any(Number),
        largestDifference: null,
        top1Agreement: null,
      });
    }
  });

  it('finds no difference from a reference with the same answers, and the size of any other', async () => {
    const root = await temporaryFolder();
    const answers = await packAndAnswers(root, () => [0]);
    const task = {model, device: 'cpu', threads: 2, batchSize: 4, pack: `${root}/pack`, reference: `${root}/reference`};
    await writeFile(`${root}/reference`, reference(answers));
    const same = (await resultOf('measure', task)).result;
    // Other kernels take batches of four than of eleven: the last bits of logarithms around 2, after sums of some
    // hundred products.
    expect(same.largestDifference).toBeLessThan(1e-4);
    expect(same.top1Agreement).toBe(1);

    answers.logProbs[7 * KEPT + 1]! -= 0.25;
    [answers.classes[0], answers.classes[1]] = [answers.classes[1]!, answers.classes[0]!];
    await writeFile(`${root}/reference`, reference(answers));
    const other = (await resultOf('measure', task)).result;
    expect(other.largestDifference).toBeGreaterThan(0.2499);
    expect(other.top1Agreement).toBeCloseTo(10 / 11, 10);
  });

  it('refuses answers that no classifier gives, where it has nothing to compare them with', async () => {
    const root = await temporaryFolder();
    await packAndAnswers(root, () => [0]);
    // The first picture becomes black, to which this model answers NaN.
    const pixels = await readFile(`${root}/pack/images.u8`);
    await writeFile(`${root}/pack/images.u8`, pixels.fill(0, 0, 32 * 32 * 3));
    const nan = fileURLToPath(new URL('../fixtures/onnx/nan-32.onnx', import.meta.url));
    expect(
      (
        await runWorker({
          task: 'measure',
          model: nan,
          device: 'cpu',
          threads: 2,
          batchSize: 4,
          pack: `${root}/pack`,
          reference: null,
        })
      ).events.at(-1),
    ).toMatchObject({type: 'failed', reason: 'gate', message: 'The ONNX model answers NaN or infinity.'});
    const check =
      (logProbs: number[], found: number[], isCompared = false) =>
      () =>
        checkAnswers(
          {logProbs: Float32Array.from(logProbs), classes: Int32Array.from(found)},
          {images: 2, kept: 2, isCompared},
        );
    expect(check([-0.1, -2, -0.1, -2], [3, 1, 3, 1])).toThrow(
      'gives all 2 images the same answer. Check teacher.input',
    );
    expect(check([-0.1, -2, -0.1, -2], [3, 1, 3, 1], true)).toThrow(
      'the same answer. It learnt nothing: lower the learning_rate',
    );
    expect(check([-0.1, -2, -0.1, -2], [3, 1, 3, 2])).not.toThrow();
    expect(check([-0.1, -2, -0.2, -2], [3, 1, 3, 1])).not.toThrow();
    expect(check([0.5, -2, -0.1, -2], [3, 1, 3, 2])).toThrow('answers probabilities above 1');
  });

  it('holds the answers of a file from elsewhere against what its graph tells', async () => {
    const root = await temporaryFolder();
    await packAndAnswers(root, () => [0]);
    const measured = async (name: string, batchSize = 4) =>
      (
        await runWorker({
          task: 'measure',
          model: fileURLToPath(new URL(`../fixtures/onnx/foreign-${name}32.onnx`, import.meta.url)),
          device: 'cpu',
          threads: 1,
          batchSize,
          pack: `${root}/pack`,
          reference: null,
        })
      ).events.at(-1);
    expect(await measured('')).toMatchObject({type: 'finished'});
    expect(await measured('contradicts-')).toMatchObject({
      type: 'failed',
      reason: 'model',
      message:
        'The graph of the ONNX file tells of logits, but on the validation images its answers are never below 0 and sum to 1 for every picture, as probabilities do. Set teacher.output to what it answers: logits, probabilities or log_probabilities.',
    });
    expect(await measured('mixes-')).toMatchObject({
      type: 'failed',
      reason: 'model',
      message: expect.stringContaining('answers a picture otherwise beside other pictures'),
    });
    expect(await measured('one-by-one-')).toMatchObject({
      type: 'failed',
      reason: 'model',
      message:
        'The ONNX model answers one picture at a time, and not 4 at once. Export it again with a dynamic batch dimension, or set score.batch_size to 1.',
    });
    expect(await measured('one-by-one-', 1)).toMatchObject({type: 'finished'});
  });

  it('refuses a reference of another length, other classes, or another size', async () => {
    const root = await temporaryFolder();
    await packAndAnswers(root, () => [0]);
    const task = {
      task: 'measure',
      model,
      device: 'cpu',
      threads: 2,
      batchSize: 4,
      pack: `${root}/pack`,
      reference: null,
    };
    await writeFile(`${root}/reference`, Buffer.alloc(100));
    expect((await runWorker({...task, reference: `${root}/reference`})).events.at(-1)).toMatchObject({
      type: 'failed',
      reason: 'data',
      message: expect.stringMatching(/has 100 bytes; expected 352/),
    });
    const other = (name: string) => fileURLToPath(new URL(`../fixtures/onnx/${name}.onnx`, import.meta.url));
    expect((await runWorker({...task, model: other('other-classes-32')})).events.at(-1)).toMatchObject({
      type: 'failed',
      reason: 'model',
      message: expect.stringMatching(/lacks fox/),
    });
    expect((await runWorker({...task, model: other('classifier-16')})).events.at(-1)).toMatchObject({
      type: 'failed',
      reason: 'model',
      message: expect.stringMatching(/takes 16 px.*holds 32 px/),
    });
    expect((await runWorker({...task, pack: `${root}/nowhere`})).events.at(-1)).toMatchObject({
      type: 'failed',
      reason: 'data',
      message: expect.stringMatching(/no pack/),
    });
  });
});

describe('comparing answers', () => {
  const table = (logProbs: number[], found: number[]) => ({
    logProbs: Float32Array.from(logProbs),
    classes: Int32Array.from(found),
  });

  it('looks at classes that both list, wherever they stand', () => {
    const ours = table([-0.5, -1, -0.25, -2], [3, 1, 5, 4]);
    const theirs = table([-0.75, -1.5, -0.25, -9], [1, 3, 5, 2]);
    expect(compareAnswers(ours, theirs, 2, 2)).toEqual({largestDifference: 1, top1Agreement: 0.5});
  });

  it('never takes a NaN for agreement', () => {
    expect(compareAnswers(table([NaN, -1], [1, 2]), table([-0.5, -1], [1, 2]), 1, 2).largestDifference).toBeNaN();
    expect(compareAnswers(table([-0.5, -1], [1, 2]), table([NaN, -1], [1, 2]), 1, 2).largestDifference).toBeNaN();
  });
});
