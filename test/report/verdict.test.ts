import {describe, expect, it} from 'vitest';
import type {Accuracy} from '../../src/events.js';
import {wilson} from '../../src/report/intervals.js';
import {verdict} from '../../src/report/verdict.js';

const top1 = (value: number): Accuracy => ({top1: value, top5: Math.min(1, value + 0.3)});

type Evaluated = {readonly set?: 'test' | 'validation'; readonly images?: number; readonly pretrained?: number | null};

const judge = (
  student: number | null,
  teacher: number | null,
  supervised: number | null,
  {set = 'test', images = 10_000, pretrained = null}: Evaluated = {},
) =>
  verdict({
    results: {
      student: student === null ? null : top1(student),
      teacher: teacher === null ? null : top1(teacher),
      supervised: supervised === null ? null : top1(supervised),
      studentPretrained: pretrained === null ? null : top1(pretrained),
    },
    set,
    evaluatedImages: images,
  });

describe('the verdict', () => {
  it('compares the student with its teacher and with the equal-step baseline, in points', () => {
    expect(judge(0.418, 0.396, 0.399)).toEqual({
      sentence:
        'The student gets 41.8 % of the test images right: 2.2 points above its teacher and 1.9 points above the equal-step supervised baseline.',
      caveats: [],
    });
  });

  it('says so when the student is worse', () => {
    expect(judge(0.44, 0.466, 0.479).sentence).toBe(
      'The student gets 44.0 % of the test images right: 2.6 points below its teacher and 3.9 points below the equal-step supervised baseline.',
    );
  });

  it('does not let a gain over the teacher hide a loss to the baseline', () => {
    expect(judge(0.37, 0.34, 0.39).sentence).toContain(
      '3.0 points above its teacher, but 2.0 points below the equal-step supervised baseline.',
    );
  });

  it('calls equal what rounds to equal', () => {
    expect(judge(0.4001, 0.4, null).sentence).toContain(': level with its teacher.');
  });

  it('warns that without a baseline a gain may come from training longer', () => {
    expect(judge(0.45, 0.4, null).caveats).toEqual([expect.stringContaining('No equal-step supervised baseline')]);
  });

  it('names the validation set, and warns that its accuracies flatter', () => {
    const {sentence, caveats} = judge(0.45, 0.4, 0.41, {set: 'validation'});
    expect(sentence).toContain('45.0 % of the validation images');
    expect(caveats).toEqual([expect.stringContaining('flatters')]);
  });

  it('claims no gain and no loss that so few images cannot tell from chance', () => {
    expect(judge(0.41, 0.4, 0.35, {images: 1000}).sentence).toBe(
      'The student gets 41.0 % of the test images right: not told apart from its teacher (+1.0 points, 95 % interval -3.3 to +5.3), but 6.0 points above the equal-step supervised baseline.',
    );
    expect(judge(0.39, 0.4, null, {images: 1000}).sentence).toContain(
      ': not told apart from its teacher (-1.0 points, 95 % interval -5.3 to +3.3).',
    );
  });

  it('says so when fine-tuning took something away, or gave nothing', () => {
    const caveat = 'Fine-tuning did not help on these images: before it the student got 43.0 % right';
    expect(judge(0.41, 0.35, 0.35, {pretrained: 0.43}).caveats).toEqual([`${caveat}.`]);
    expect(judge(0.41, 0.35, 0.35, {pretrained: 0.43, images: 200}).caveats).toEqual([
      `${caveat}, which so few do not tell apart.`,
    ]);
    expect(judge(0.43, 0.35, 0.35, {pretrained: 0.43}).caveats).toEqual([`${caveat}, which so few do not tell apart.`]);
    expect(judge(0.44, 0.35, 0.35, {pretrained: 0.43}).caveats).toEqual([]);
  });

  it('stays true when the teacher or the student was not evaluated', () => {
    expect(judge(0.41, null, 0.38)).toEqual({
      sentence:
        'The student gets 41.0 % of the test images right: 3.0 points above the equal-step supervised baseline.',
      caveats: ['The teacher was not evaluated.'],
    });
    expect(judge(null, 0.4, null)).toEqual({sentence: 'This run has no evaluated student.', caveats: []});
  });
});

describe('the Wilson interval', () => {
  it('agrees with published values', () => {
    expect(wilson(0.5, 100).low).toBeCloseTo(0.4038, 4);
    expect(wilson(0.5, 100).high).toBeCloseTo(0.5962, 4);
    expect(wilson(0, 10).high).toBeCloseTo(0.2775, 4);
  });

  it('stays within 0 and 1, and knows nothing without images', () => {
    expect(wilson(0, 10).low).toBe(0);
    expect(wilson(1, 10).high).toBeLessThanOrEqual(1);
    expect(wilson(0, 0)).toEqual({low: 0, high: 1});
  });
});
