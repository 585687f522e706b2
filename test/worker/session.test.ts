import {describe, expect, it} from 'vitest';
import {WorkerFailure} from '../../src/worker/failure.js';
import {matchClasses} from '../../src/worker/session.js';

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
