import {expect, it} from 'vitest';
import {configSchema} from '../../src/config/schema.js';
import {lengthSettings, pretrainingEpochs, stepsPerEpoch} from '../../src/stages/training-length.js';

const settings = (keys: object = {}) =>
  lengthSettings(configSchema.parse({labelled: 'a', unlabelled: 'b', teacher: {model: 'cifarnet'}, ...keys}), 32);

it('pre-trains for 30 epochs where that is long enough', () => {
  // The teacher has 4,000 steps of 128; 40,000 pairs make 500 an epoch beside 48 labelled pictures a batch, 20,000 make
  // 250.
  expect(pretrainingEpochs(settings(), {samples: 40_000, labelled: 5000})).toBe(30);
  expect(pretrainingEpochs(settings(), {samples: 20_000, labelled: 5000})).toBe(32);
});

it("goes on for twice the teacher's steps where few pictures were chosen", () => {
  // 60 labelled pictures are one step an epoch, 100 in all; 36 pairs are one step an epoch, too.
  expect(pretrainingEpochs(settings(), {samples: 36, labelled: 60})).toBe(200);
  expect(pretrainingEpochs(settings({teacher: {epochs: 10}}), {samples: 36, labelled: 60})).toBe(30);
});

it('does as it is told', () => {
  expect(pretrainingEpochs(settings({pretrain: {epochs: 7}}), {samples: 36, labelled: 60})).toBe(7);
});

it('counts steps as the trainer does', () => {
  expect(stepsPerEpoch(450, 128, 0.375)).toBe(6);
  expect(stepsPerEpoch(129, 128, 0)).toBe(2);
  expect(stepsPerEpoch(3, 128, 0)).toBe(1);
});
