/**
 * A network on its device: opens an ONNX model that `pupil` exported, proves it is what the task expects, and answers
 * batches of pixels.
 */
import {readFile} from 'node:fs/promises';
import {Worker} from 'node:worker_threads';
import {z} from 'zod';
import {fromWire, outputKinds, type Layout} from '../children/protocol.js';
import {WorkerFailure} from './failure.js';
import type {InferenceReply, InferenceRequest, InferenceThreadData} from './inference-thread.js';
import {networkLimit, watchNetwork, type NetworkLimit} from './network-limit.js';
import {onnxMetadata} from './onnx-metadata.js';

const CHANNELS = 3;
export const BATCH_ADVICE = 'Export it again with a dynamic batch dimension, or set score.batch_size to 1.';

const description = z.object({
  version: z.literal(1),
  size: z.int().positive(),
  resize: z.int().positive(),
  kept: z.int().positive(),
  classes: z.array(z.string()).min(2),
  /** Of a file from elsewhere: what it is taken to answer in its output `given`, and who said so. */
  answers: z.object({kind: z.enum(outputKinds), toldBy: z.enum(['graph', 'user'])}).exactOptional(),
});
/** What a model says of itself in its metadata under `pupil`. */
export type ModelDescription = z.infer<typeof description>;

/** The answers to one batch: `kept` values for each image, best first. */
export interface Answers {
  logProbs: Float32Array;
  classes: Int32Array;
  /** Of a file from elsewhere, where it was asked for: its own answers, one a class for each image. */
  given: Float32Array | null;
  /** The batch that was given, to be filled again. */
  pixels: Uint8Array<ArrayBuffer>;
}

export interface Session {
  model: ModelDescription;
  /** Batches that are answered at a time. */
  networks: number;
  /**
   * Pixels of one batch, always `batchSize` images: a batch that is not full is padded. Takes the buffer over until it
   * comes back.
   */
  run: (pixels: Uint8Array<ArrayBuffer>, options?: {withGiven: boolean}) => Promise<Answers>;
  /** Spent inside the network so far; with several, on average. */
  secondsInferring: () => number;
  close: () => Promise<void>;
}

/** A thread with a network in it, whatever the network is. */
export interface InferenceThread {
  opened: InferenceReply & {type: 'opened'};
  run: (
    pixels: Uint8Array<ArrayBuffer>,
    shape: readonly number[],
    outputs: readonly string[],
  ) => Promise<InferenceReply & {type: 'answer'}>;
  close: () => Promise<void>;
}

/** What a message of onnxruntime says to people: which operator failed and why, without the places in its source. */
export function reasonIn(message: string): string {
  const [, operator, name, reason] =
    /while running (\S+) node\. Name:'([^']*)' Status Message: (?:\S+:\d+ .*?\) )?(.*)/s.exec(message) ?? [];
  if (reason === undefined) return message;
  return `its operator ${operator}${name === '' ? '' : ` (${name})`} cannot compute: ${reason.split('\n')[0]}`;
}

/** Which failure a message of onnxruntime is. */
function failureOf(message: string, device: string, isOpening: boolean): WorkerFailure {
  if (/out of memory|failed to allocate memory|bad_alloc|BFCArena/i.test(message))
    return new WorkerFailure('out-of-memory', `Memory ran out on ${device}. Lower score.batch_size. (${message})`);
  if (device !== 'cpu' && /CUDA|cuDNN|cublas|provider|fallback to CPU/i.test(message))
    return new WorkerFailure('device', `${device} cannot be used: ${message}`);
  return isOpening
    ? new WorkerFailure('model', `The ONNX model cannot be opened: ${message}`)
    : new WorkerFailure('model', `The network failed: ${reasonIn(message)}`);
}

/**
 * Starts a thread and opens `model` in it on `device`, or on so many cores of the CPU. Throws a `device`, `model` or
 * `out-of-memory` failure, and NetworkOverLimit, after which the thread is left to itself.
 */
export async function startInference(
  model: Uint8Array,
  device: string,
  threads: number,
  limit: NetworkLimit,
): Promise<InferenceThread> {
  const workerData: InferenceThreadData = {model, device, threads};
  const thread = new Worker(new URL('./inference-thread.js', import.meta.url), {workerData});
  const ended = new Promise<void>(resolve => thread.once('exit', () => resolve()));
  const pending = new Map<
    number,
    {resolve: (reply: InferenceReply & {type: 'answer'}) => void; reject: (error: Error) => void}
  >();
  const send = (request: InferenceRequest, transfer: ArrayBuffer[] = []) => thread.postMessage(request, transfer);
  let isOpening = true;
  const watch = watchNetwork(limit, () => isOpening || pending.size > 0);
  const close = async () => {
    send({type: 'close'});
    await Promise.race([ended, watch.over]);
    watch.stop();
  };

  const opened = await new Promise<InferenceReply & {type: 'opened'}>((resolve, reject) => {
    const fail = (error: Error) => {
      reject(error);
      for (const run of pending.values()) run.reject(error);
      pending.clear();
    };
    void watch.over.then(fail);
    thread.on('error', fail);
    thread.on('exit', () => fail(new Error('The inference thread ended early.')));
    thread.on('message', (reply: InferenceReply) => {
      isOpening = false;
      watch.restart();
      if (reply.type === 'opened') resolve(reply);
      else if (reply.type === 'refused') reject(failureOf(reply.message, device, true));
      else {
        const run = pending.get(reply.run);
        pending.delete(reply.run);
        if (reply.type === 'answer') run?.resolve(reply);
        else run?.reject(failureOf(reply.message, device, false));
      }
    });
  }).catch(async (error: unknown) => {
    await close();
    throw error;
  });

  let runs = 0;
  return {
    opened,
    close,
    run: (pixels, shape, outputs) =>
      new Promise((resolve, reject) => {
        const run = runs++;
        if (pending.size === 0) watch.restart();
        pending.set(run, {resolve, reject});
        send({type: 'run', run, pixels, shape, outputs}, [pixels.buffer]);
      }),
  };
}

function describe(model: Buffer, path: string): ModelDescription {
  let metadata;
  try {
    metadata = onnxMetadata(model);
  } catch (error) {
    throw new WorkerFailure('model', `${path} is no ONNX file.`, {cause: error});
  }
  const stated = metadata.get('pupil');
  if (stated === undefined)
    throw new WorkerFailure(
      'model',
      `${path} has no "pupil" metadata: it is no ONNX file, or not one that pupil exported.`,
    );
  try {
    return description.parse(fromWire(stated));
  } catch (error) {
    throw new WorkerFailure(
      'model',
      `The "pupil" metadata of ${path} is not understood: ${error instanceof Error ? error.message : String(error)}`,
      {cause: error},
    );
  }
}

/** Throws a `model` failure where inputs and outputs are not uint8 pixels in, top-P classes out. */
function checkSignature(
  {inputs, outputs}: InferenceThread['opened'],
  {size, kept}: ModelDescription,
  path: string,
): void {
  const show = (values: InferenceThread['opened']['inputs']) =>
    values
      .map(value => (value.isTensor ? `${value.name} ${value.type}[${value.shape.join(',')}]` : value.name))
      .join(', ');
  const fits = (value: (typeof inputs)[number] | undefined, type: string, shape: number[]) =>
    value?.isTensor === true &&
    value.type === type &&
    value.shape.length === shape.length + 1 &&
    shape.every((side, i) => value.shape[i + 1] === side);
  const output = (name: string) => outputs.find(value => value.name === name);
  const isInputRight =
    inputs.length === 1 && inputs[0]?.name === 'images' && fits(inputs[0], 'uint8', [size, size, CHANNELS]);
  if (!isInputRight)
    throw new WorkerFailure(
      'model',
      `${path} takes ${show(inputs)}; expected images uint8[batch,${size},${size},${CHANNELS}].`,
    );
  if (!fits(output('log_prob'), 'float32', [kept]) || !fits(output('class'), 'int32', [kept])) {
    throw new WorkerFailure(
      'model',
      `${path} gives ${show(outputs)}; expected log_prob float32[batch,${kept}] and class int32[batch,${kept}].`,
    );
  }
}

/**
 * Opens an exported model on a device, with a fixed batch size: a new shape would make CUDA search its convolutions
 * again. Several networks answer as many batches side by side. Throws a `model`, `device` or `out-of-memory` failure.
 * The caller closes it, and kills the process where NetworkOverLimit was thrown: what runs in a thread cannot be
 * stopped. `limitFor` is for tests.
 */
export async function openSession(
  path: string,
  device: string,
  {batchSize, networks, networkThreads}: Omit<Layout, 'decodeThreads'>,
  limitFor: typeof networkLimit = networkLimit,
): Promise<Session> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new WorkerFailure('model', `${path} cannot be read.`, {cause: error});
  });
  const model = describe(bytes, path);
  // From bytes, not from the path: a model that keeps its weights in other files is refused so.
  const limit = limitFor(bytes.length, model.size, {batchSize, networks});
  const first = await startInference(bytes, device, networkThreads, limit);
  const running = [first];
  const close = async () => void (await Promise.all(running.map(async thread => thread.close())));
  try {
    checkSignature(first.opened, model, path);
    while (running.length < networks) running.push(await startInference(bytes, device, networkThreads, limit));
  } catch (error) {
    await close();
    throw error;
  }
  const shape = [batchSize, model.size, model.size, CHANNELS];
  let [runs, secondsInferring] = [0, 0];
  return {
    model,
    networks,
    secondsInferring: () => secondsInferring / networks,
    close,
    async run(batch, {withGiven} = {withGiven: false}) {
      // In turn: batches are alike.
      const thread = running[runs++ % networks] ?? first;
      const {outputs, pixels, seconds} = await thread.run(batch, shape, [
        'log_prob',
        'class',
        ...(withGiven ? ['given'] : []),
      ]);
      secondsInferring += seconds;
      const {log_prob: logProbs, class: classes, given = null} = outputs;
      if (!(logProbs instanceof Float32Array) || !(classes instanceof Int32Array) || given instanceof Int32Array)
        throw new WorkerFailure('model', `${path} gave an answer of another type.`);
      const [wanted, found] = [batchSize * model.kept, Math.min(logProbs.length, classes.length)];
      if (found !== wanted)
        throw new WorkerFailure(
          'model',
          `The network gave ${found} answers to ${batchSize} pictures; expected ${wanted}. ${BATCH_ADVICE}`,
        );
      return {logProbs, classes, given, pixels};
    },
  };
}

const some = (names: readonly string[]) =>
  `${names.slice(0, 5).join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`;

/**
 * The index in `expected` of each of the model's classes: classes are matched by name, never by number.
 * Throws a `model` failure that names the classes which only one side has.
 */
export function matchClasses(model: readonly string[], expected: readonly string[]): Int32Array {
  const index = new Map(expected.map((name, i) => [name, i]));
  const onlyInModel = model.filter(name => !index.has(name));
  const modelNames = new Set(model);
  const missing = expected.filter(name => !modelNames.has(name));
  if (onlyInModel.length > 0 || missing.length > 0 || model.length !== expected.length) {
    const parts = [
      missing.length > 0 && `it lacks ${some(missing)}`,
      onlyInModel.length > 0 && `it also has ${some(onlyInModel)}`,
    ].filter(Boolean);
    throw new WorkerFailure(
      'model',
      `The model has ${model.length} classes, the data ${expected.length}${parts.length > 0 ? `: ${parts.join('; ')}` : ''}.`,
    );
  }
  return Int32Array.from(model, name => index.get(name) ?? -1);
}

/** Throws a `model` failure where pictures are prepared in another way than the model was trained on. */
export function checkDecoding({size, resize}: ModelDescription, decoding: {size: number; resize: number}): void {
  if (size !== decoding.size || resize !== decoding.resize) {
    throw new WorkerFailure(
      'model',
      `The model takes ${size} px cut from ${resize} px, the task prepares ${decoding.size} px cut from ${decoding.resize} px.`,
    );
  }
}
