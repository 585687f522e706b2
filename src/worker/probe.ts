/**
 * The `probe` task: proves that a device works by running a network on it. Opening a session alone proves nothing:
 * cuDNN is looked for at the first run.
 */
import {readFile, readdir} from 'node:fs/promises';
import {cpus} from 'node:os';
import {z} from 'zod';
import type {TaskOf, TaskResult} from '../children/protocol.js';
import {onnxruntimePackage} from '../compiled-packages.js';
import {WorkerFailure} from './failure.js';
import {networkLimit} from './network-limit.js';
import {startInference} from './session.js';

/** The sum of uint8 [1, 4, 4, 3] by a convolution, as ONNX. Made by test/fixtures/onnx/make_onnx.py. */
const SUM_MODEL = Buffer.from(
  'CAoSADqZAwogCgZpbWFnZXMSBWZsb2F0IgRDYXN0KgkKAnRvGAGgAQIKLQoFZmxvYXQSBnBsYW5lcyIJVHJhbnNwb3NlKhEKBHBlcm1AAEADQAFAAqABBwoaCgZwbGFuZX' +
    'MKBG9uZXMSBHN1bXMiBENvbnYKFAoEc3VtcxIDc3VtIgdGbGF0dGVuEgVwcm9iZSrTAQgBCAMIBAgEEAFCBG9uZXNKwAEAAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/' +
    'AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AA' +
    'CAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD9aIAoGaW1hZ2VzEhYKFAgCEhAKAggBCgIIBAoCCAQK' +
    'AggDYhUKA3N1bRIOCgwIARIICgIIAQoCCAFCBAoAEBI=',
  'base64',
);
const SHAPE = [1, 4, 4, 3];

const {version} = z.object({version: z.string()}).parse(onnxruntimePackage());

/** What the driver calls the GPUs, in the order of their bus addresses; CUDA counts them so unless told otherwise. */
async function gpuName(number: number): Promise<string | null> {
  const folder = '/proc/driver/nvidia/gpus';
  const address = (await readdir(folder).catch(() => [])).sort()[number];
  const information =
    address === undefined ? '' : await readFile(`${folder}/${address}/information`, 'utf8').catch(() => '');
  return /^Model:\s*(.+)$/m.exec(information)?.[1]?.trim() ?? null;
}

const deviceName = async (device: string) =>
  (device === 'cpu' ? cpus()[0]?.model.trim() : await gpuName(Number(device.replace('cuda:', '')))) ?? device;

/** Throws a `device` failure where the device does not work, or answers wrongly. */
export async function probe({device}: TaskOf<'probe'>): Promise<TaskResult<'probe'>> {
  const inference = await startInference(
    SUM_MODEL,
    device,
    1,
    networkLimit(SUM_MODEL.length, 4, {batchSize: 1, networks: 1}),
  );
  try {
    const pixels = Uint8Array.from({length: SHAPE.reduce((product, side) => product * side)}, (_, i) => i);
    const expected = pixels.reduce((sum, value) => sum + value, 0);
    const {outputs} = await inference.run(pixels, SHAPE, ['sum']);
    const found = outputs['sum']?.[0];
    if (found !== expected)
      throw new WorkerFailure('device', `${device} computes wrongly: ${found} instead of ${expected}.`);
  } finally {
    await inference.close();
  }
  return {runtime: `onnxruntime-node ${version}`, device, deviceName: await deviceName(device), bf16: false};
}
