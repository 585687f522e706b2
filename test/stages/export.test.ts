import {describe, expect, it} from 'vitest';
import {guessingWarning} from '../../src/stages/export.js';

describe('a teacher that is no better than guessing', () => {
  it('is told what to change where it was trained here', () => {
    expect(guessingWarning({file: null, epochs: 5}, 10, {top1: 0.12, images: 100})).toBe(
      'The teacher is right about 12.0 % of the validation images; guessing would be about 10.0 %. It has learnt nothing that can be used: raise teacher.epochs (5), try another teacher.learning_rate, and check that the labels are right.',
    );
  });

  it('is told what to check where it came as a file', () => {
    expect(guessingWarning({file: 'net.onnx', epochs: 100}, 10, {top1: 0.12, images: 100})).toContain(
      'The teacher net.onnx is right about 12.0 %',
    );
    expect(guessingWarning({file: 'net.onnx', epochs: 100}, 10, {top1: 0.12, images: 100})).toContain(
      'Check the order of teacher.classes',
    );
  });

  it('is one of few pictures, too; what is better by more than chance explains is not', () => {
    expect(guessingWarning({file: null, epochs: 5}, 2, {top1: 0.6, images: 50})).not.toBeNull();
    expect(guessingWarning({file: null, epochs: 5}, 2, {top1: 0.6, images: 500})).toBeNull();
    expect(guessingWarning({file: null, epochs: 5}, 10, {top1: 0.61, images: 100})).toBeNull();
  });
});
