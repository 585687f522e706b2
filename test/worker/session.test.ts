import {describe, expect, it} from 'vitest';
import {WorkerFailure} from '../../src/worker/failure.js';
import {matchClasses, reasonIn} from '../../src/worker/session.js';

describe('classes of a model and of the data', () => {
  it('are matched by name, never by number', () => {
    expect([...matchClasses(['b', 'c', 'a'], ['a', 'b', 'c'])]).toEqual([1, 2, 0]);
  });

  it.each([
    [['a', 'b'], ['a', 'b', 'c', 'd'], 'The model has 2 classes, the data 4: it lacks c, d.'],
    [['a', 'b', 'c'], ['a', 'b'], 'The model has 3 classes, the data 2: it also has c.'],
    [
      Array.from({length: 1000}, (_, i) => `m${i}`),
      ['a', 'm7'],
      'The model has 1000 classes, the data 2: it lacks a; it also has m0, m1, m2, m3, m4 and 994 more.',
    ],
    [['a', 'a'], ['a'], 'The model has 2 classes, the data 1.'],
  ])('that differ are named: case %#', (model, data, message) => {
    expect(() => matchClasses(model, data)).toThrow(new WorkerFailure('model', message));
  });
});

it('a failure of onnxruntime is told without the places in its source', () => {
  const begun = "Non-zero status code returned while running Reshape node. Name:'given/view' Status Message: ";
  const reason =
    'The input tensor cannot be reshaped to the requested shape. Input shape:{4,12}, requested shape:{1,12}';
  const place =
    '/src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:47 onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, bool) ';
  for (const message of [`${begun}${reason}`, `${begun}${place}${reason}\n`])
    expect(reasonIn(message)).toBe(`its operator Reshape (given/view) cannot compute: ${reason}`);
  expect(reasonIn('Something else.')).toBe('Something else.');
});
