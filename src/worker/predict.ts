/** The `predict` task: the best classes of each file named on stdin, as soon as they are known. */
import {predictItem, type PredictItem, type TaskOf, type TaskResult} from '../children/protocol.js';
import {decodeAhead, type Decoded} from './decode-ahead.js';
import type {ImagePlace} from './decoder.js';
import {readDescriptors} from './descriptors.js';
import {WorkerFailure} from './failure.js';
import {checkDecoding, openSession} from './session.js';
import type {TaskContext} from './task-context.js';

/** One image at a time: the first answer comes at once, and on a CPU larger batches gain little. */
const BATCH_SIZE = 1;

/** Predicts in the order of stdin. What cannot be decoded is answered with its problem. */
export async function predict(
  task: TaskOf<'predict'>,
  {descriptors, signal, emit}: TaskContext,
): Promise<TaskResult<'predict'>> {
  const session = await openSession(task.model, task.device, {
    batchSize: BATCH_SIZE,
    networks: 1,
    networkThreads: task.threads,
  });
  try {
    const {model} = session;
    checkDecoding(model, task.decoding);
    async function* images(): AsyncGenerator<[ImagePlace & PredictItem]> {
      for await (const item of readDescriptors(descriptors(), predictItem))
        yield [{...item, offset: null, length: null, encoding: 'encoded', id: null}];
    }
    async function answer({item, pixels, problem}: Decoded<PredictItem>): Promise<void> {
      if (problem !== null) {
        await emit({type: 'predicted', image: item.image, classes: [], error: problem});
        return;
      }
      const {logProbs, classes} = await session.run(Uint8Array.from(pixels));
      const best = Array.from(classes.subarray(0, task.top), (index, k) => {
        const name = model.classes[index];
        if (name === undefined)
          throw new WorkerFailure('model', `The network answered class ${index} of ${model.classes.length}.`);
        return {class: name, probability: Math.min(1, Math.exp(logProbs[k] ?? NaN))};
      });
      const isBad = best.some(({probability}) => Number.isNaN(probability));
      await emit({
        type: 'predicted',
        image: item.image,
        classes: isBad ? [] : best,
        error: isBad ? {code: 'BAD_SCORE', detail: 'the network answered NaN'} : null,
      });
    }

    let predicted = 0;
    for await (const lot of decodeAhead(images(), {
      decoding: task.decoding,
      threads: task.threads,
      precautions: task.precautions,
      signal,
    })) {
      for (const decoded of lot) await answer(decoded);
      predicted += lot.length;
    }
    return {images: predicted};
  } finally {
    await session.close();
  }
}
