import {fileURLToPath} from 'node:url';
import {describe, expect, it} from 'vitest';
import type {ImageReference} from '../../src/children/protocol.js';
import {put} from '../images/pictures.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {indexed, mixedPool} from './pools.js';
import {decoding, resultOf, runWorker} from './worker-process.js';

const model = fileURLToPath(new URL('../fixtures/onnx/classifier-32.onnx', import.meta.url));
const layout = {batchSize: 4, decodeThreads: 2, networks: 1, networkThreads: 2};
const base = {
  model,
  device: 'cpu',
  decoding,
  layout,
  searched: ['networks', 'batchSize', 'networkThreads', 'decodeThreads'],
};
const asShard = (images: ImageReference[]) => [{shard: 0, output: '-', images}];

async function pool(): Promise<ImageReference[]> {
  const root = await temporaryFolder();
  await mixedPool(root, 10);
  return await indexed(root);
}

describe('a trial', () => {
  it('leaves the layout as it is where the pool takes less than the trial would', async () => {
    const {result} = await resultOf('trial', {...base, images: 23}, asShard(await pool()));
    expect(result).toMatchObject({layout, tried: 1});
    expect(result.imagesPerSecond).toBeGreaterThan(0);
    expect(result.firstImagesPerSecond).toBe(result.imagesPerSecond);
  });

  it('searches the parts that it is asked for, and takes a layout that was the fastest', async () => {
    const images = await pool();
    const {result} = await resultOf(
      'trial',
      {...base, searched: ['batchSize'], images: 1_000_000_000},
      asShard(images),
    );
    expect(result.layout).toMatchObject({decodeThreads: 2, networks: 1, networkThreads: 2});
    expect(result.layout.batchSize).toBeLessThanOrEqual(images.length);
    expect(result.tried).toBeGreaterThan(1);
    expect(result.imagesPerSecond).toBeGreaterThanOrEqual(result.firstImagesPerSecond);
  });

  it('never has more threads in its networks together than it began with', async () => {
    const start = {...layout, networkThreads: 5};
    const {result} = await resultOf(
      'trial',
      {...base, layout: start, searched: ['networks'], images: 1_000_000_000},
      asShard(await pool()),
    );
    expect([
      [1, 5],
      [2, 2],
      [4, 1],
    ]).toContainEqual([result.layout.networks, result.layout.networkThreads]);
    expect(result.tried).toBeGreaterThan(1);
    expect(result.layout).toMatchObject({batchSize: 4, decodeThreads: 2});
  });

  it('ends where no picture can be decoded, with the layout that it began with', async () => {
    const images = await pool();
    const broken = images.filter(({place}) => place.includes('folder'));
    for (const {file} of broken) await put(file, 'no picture');
    expect((await resultOf('trial', {...base, images: 1_000_000_000}, asShard(broken))).result).toEqual({
      layout,
      tried: 1,
      imagesPerSecond: 0,
      firstImagesPerSecond: 0,
    });
  });

  it('refuses a model of another size before anything is scored', async () => {
    const small = fileURLToPath(new URL('../fixtures/onnx/classifier-16.onnx', import.meta.url));
    const {events, exitCode} = await runWorker(
      {task: 'trial', ...base, model: small, images: 10},
      asShard(await pool()),
    );
    expect(events.at(-1)).toMatchObject({type: 'failed', reason: 'model'});
    expect(exitCode).toBe(65);
  });
});
