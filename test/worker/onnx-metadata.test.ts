import {readFile} from 'node:fs/promises';
import {describe, expect, it} from 'vitest';
import {onnxMetadata} from '../../src/worker/onnx-metadata.js';

const fixture = (name: string) => readFile(new URL(`../fixtures/onnx/${name}.onnx`, import.meta.url));

describe('ONNX metadata', () => {
  it('is read without onnxruntime', async () => {
    const pupil: unknown = JSON.parse(onnxMetadata(await fixture('classifier-32')).get('pupil') ?? '');
    expect(pupil).toEqual({
      version: 1,
      model: 'linear',
      size: 32,
      resize: 32,
      kept: 4,
      classes: ['ant', 'bee', 'cat', 'dog', 'elk', 'fox'],
    });
    expect(onnxMetadata(await fixture('undescribed'))).toEqual(new Map());
  });

  it('of a cut-off or garbled file is a RangeError or empty, never a hang', async () => {
    const model = await fixture('classifier-32');
    for (let end = 0; end < model.length; end++) {
      try {
        onnxMetadata(model.subarray(0, end));
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }
    let seed = 7;
    for (let round = 0; round < 500; round++) {
      const garbage = Buffer.from(Array.from({length: 200}, () => (seed = (seed * 48271) % 2147483647) % 256));
      try {
        onnxMetadata(garbage);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }
  });
});
