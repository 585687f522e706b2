import {expect, it} from 'vitest';
import type {Event} from '../../src/events.js';
import {tellingOfHours} from '../../src/stages/long-training.js';

/** What is told of a training whose steps take so many seconds. */
function toldOf(secondsAStep: number, totalSteps: number): Event[] {
  const told: Event[] = [];
  let now = 0;
  const emit = tellingOfHours(event => event.type === 'warning' && told.push(event), {
    stage: 'teacher',
    advice: 'Take less.',
    clock: () => now,
  });
  for (let step = 1; step <= 5; step++, now += secondsAStep) {
    emit({
      type: 'step',
      stage: 'teacher',
      part: '',
      step,
      totalSteps,
      epoch: 0,
      loss: 1,
      lr: 0.1,
      imagesPerSecond: 1,
      memoryBytes: 0,
    });
  }
  return told;
}

it('a training that would take hours is told of once, when a step has shown how long it takes', () => {
  expect(toldOf(60, 423)).toEqual([
    {type: 'warning', stage: 'teacher', message: 'about 7 h 0 min are left of this training alone. Take less.'},
  ]);
});

it('one that takes less is not', () => expect(toldOf(0.1, 1000)).toEqual([]));
