import {describe, expect, it} from 'vitest';
import {standing} from '../../src/stages/curves.js';
import type {TrainingEvent} from '../../src/store/events.js';

const of = {stage: 'teacher', part: ''} as const;
const begun = (step: number, epoch = 0): TrainingEvent => ({...of, type: 'begun', step, epoch});
const step = (step: number, loss = 1): TrainingEvent => ({
  ...of,
  type: 'step',
  step,
  totalSteps: 100,
  epoch: 1,
  loss,
  lr: 0.1,
  imagesPerSecond: 1,
  memoryBytes: 1,
});
const evaluated = (epoch: number, top1 = 0.5): TrainingEvent => ({
  ...of,
  type: 'evaluated',
  epoch,
  top1,
  top5: 1,
  loss: 1,
});

const stepsOf = (...events: TrainingEvent[]) => standing(events).steps.map(({step}) => step);
const epochsOf = (...events: TrainingEvent[]) => standing(events).evaluations.map(({epoch}) => epoch);

describe('the curve of a training', () => {
  it('is all that was told, where it went through', () => {
    const events = [begun(0), step(10), step(20), evaluated(1), step(30)];
    expect([stepsOf(...events), epochsOf(...events)]).toEqual([[10, 20, 30], [1]]);
  });

  it('goes on after a stop without a gap or a step back', () =>
    expect(stepsOf(begun(0), step(10), step(20), begun(23, 2), step(31))).toEqual([10, 20, 31]));

  it('lacks what a killed attempt told of steps after its last checkpoint: the next attempt takes them again', () => {
    const events = [
      begun(0),
      step(10),
      evaluated(1),
      step(20),
      evaluated(2),
      step(27),
      begun(15, 1),
      step(22),
      evaluated(2, 0.7),
      step(32),
    ];
    expect(stepsOf(...events)).toEqual([10, 22, 32]);
    expect(standing(events).evaluations).toMatchObject([
      {epoch: 1, top1: 0.5},
      {epoch: 2, top1: 0.7},
    ]);
  });

  it('is that of the new training alone, where it began anew', () => {
    const events = [begun(0), step(5, 9), evaluated(1, 0.1), step(15, 9), begun(0), step(8), step(16)];
    expect([stepsOf(...events), epochsOf(...events)]).toEqual([[8, 16], []]);
  });

  it('has what validation said before a kill, also where nobody wrote it down: each attempt tells it again', () => {
    expect(epochsOf(begun(0), begun(200, 2), evaluated(1), evaluated(2), evaluated(3))).toEqual([1, 2, 3]);
    expect(epochsOf(begun(0), evaluated(1), begun(100, 1), evaluated(1), evaluated(2))).toEqual([1, 2]);
  });

  it('stays where a stage is run again and finds its training finished', () =>
    expect(epochsOf(begun(0), evaluated(1), evaluated(2), begun(100, 2))).toEqual([1, 2]));

  it('never turns back, however often it was killed', () => {
    const attempts = [0, 3, 3, 11, 40, 40, 52].flatMap(from => [
      begun(from),
      ...[2, 9, 17, 30].map(more => step(from + more)),
    ]);
    const steps = stepsOf(...attempts);
    expect(steps).toEqual([...new Set(steps)].sort((a, b) => a - b));
  });
});
