/**
 * The thread in which onnxruntime runs. `run()` blocks the thread that calls it, and decoding is scheduled on the main
 * one.
 *
 * It must never be terminated from outside: that aborts the whole process if a run is under way. It ends by itself on
 * `close`.
 */
import {parentPort, workerData} from 'node:worker_threads';
import type {InferenceSession} from 'onnxruntime-node';
import {loadOnnxruntime} from '../compiled-packages.js';

const onnxruntime = loadOnnxruntime();

export interface InferenceThreadData {
  model: Uint8Array;
  /** `cpu` or `cuda:N`. */
  device: string;
  /** Threads of one operator on the CPU. */
  threads: number;
}

export type InferenceRequest =
  | {type: 'run'; run: number; pixels: Uint8Array<ArrayBuffer>; shape: readonly number[]; outputs: readonly string[]}
  | {type: 'close'};

export type InferenceReply =
  | {
      type: 'opened';
      inputs: readonly InferenceSession.ValueMetadata[];
      outputs: readonly InferenceSession.ValueMetadata[];
    }
  /** `pixels` comes back to be filled again. */
  | {
      type: 'answer';
      run: number;
      outputs: Record<string, Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>>;
      pixels: Uint8Array<ArrayBuffer>;
      seconds: number;
    }
  | {type: 'failed'; run: number; message: string}
  /** The model could not be opened. */
  | {type: 'refused'; message: string};

const port = parentPort;
if (port === null) throw new Error('The inference thread was started as a program of its own.');
const reply = (message: InferenceReply, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

function sessionOptions({device, threads}: InferenceThreadData): InferenceSession.SessionOptions {
  const common = {
    graphOptimizationLevel: 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3, // Errors only.
  } as const;
  // A thread that spins while it waits takes the core from a decoder.
  const spinning = {intra_op: {allow_spinning: '0'}};
  if (device === 'cpu') return {...common, executionProviders: ['cpu'], extra: {session: spinning}};
  const deviceId = Number(device.replace('cuda:', ''));
  // Without the second setting, operators that the provider lacks would land on the CPU and nobody would be told.
  return {
    ...common,
    executionProviders: [{name: 'cuda', deviceId}],
    extra: {session: {...spinning, disable_cpu_ep_fallback: '1'}},
  };
}

async function run(
  session: InferenceSession,
  {run, pixels, shape, outputs: wanted}: InferenceRequest & {type: 'run'},
): Promise<void> {
  try {
    const begun = performance.now();
    const results = await session.run(
      {[session.inputNames[0] ?? '']: new onnxruntime.Tensor('uint8', pixels, shape)},
      wanted,
    );
    const seconds = (performance.now() - begun) / 1000;
    const outputs: (InferenceReply & {type: 'answer'})['outputs'] = {};
    for (const [name, {data}] of Object.entries(results)) {
      // A copy: an output may share its buffer with another, and only whole buffers can be handed over.
      if (data instanceof Float32Array || data instanceof Int32Array) outputs[name] = data.slice();
    }
    reply({type: 'answer', run, outputs, pixels, seconds}, [
      pixels.buffer,
      ...Object.values(outputs).map(({buffer}) => buffer),
    ]);
  } catch (error) {
    reply({type: 'failed', run, message: messageOf(error)});
  }
}

async function open(data: InferenceThreadData): Promise<InferenceSession | null> {
  try {
    const session = await onnxruntime.InferenceSession.create(data.model, sessionOptions(data));
    reply({type: 'opened', inputs: session.inputMetadata, outputs: session.outputMetadata});
    return session;
  } catch (error) {
    reply({type: 'refused', message: messageOf(error)});
    return null;
  }
}

const session = await open(workerData as InferenceThreadData); // Written by session.ts alone.
let last = Promise.resolve();
port.on('message', (request: InferenceRequest) => {
  last = last.then(async () => {
    if (request.type === 'run') {
      if (session !== null) await run(session, request);
      return;
    }
    await session?.release();
    port.close();
  });
});
