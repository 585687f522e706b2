import {describe, expect, it} from 'vitest';
import {AnswersSeen, judgeAnswers, type Claim} from '../../src/worker/judge-answers.js';

const softmax = (row: readonly number[]): number[] => {
  const exponentials = row.map(Math.exp);
  const sum = exponentials.reduce((a, b) => a + b);
  return exponentials.map(value => value / sum);
};
const logits = [
  [3, -1, 0.5],
  [0.2, 2, -4],
  [-1, -2, 1],
];
const probabilities = logits.map(softmax);
const times = (rows: readonly number[][], factor: number) => rows.map(row => row.map(value => value * factor));
const logs = (rows: readonly number[][]) => rows.map(row => row.map(Math.log));

function judged(rows: readonly number[][], kind: Claim['kind'], toldBy: Claim['toldBy'] = 'graph'): string | null {
  const seen = new AnswersSeen();
  for (const row of rows) seen.add(Float32Array.from(row), row.length);
  return judgeAnswers({kind, toldBy}, seen);
}

describe('real answers', () => {
  it('that are what the graph tells need no word', () => {
    expect(judged(logits, 'logits')).toBeNull();
    expect(judged(probabilities, 'probabilities')).toBeNull();
    expect(judged(logs(probabilities), 'log_probabilities')).toBeNull();
  });

  it('in percent, or summed over several networks, are probabilities all the same, and that is said', () => {
    expect(judged(times(probabilities, 100), 'probabilities')).toBe(
      'Its answers to a picture sum to 100: they are taken for probabilities, scaled to 1.',
    );
    expect(judged(times(probabilities, 2), 'probabilities')).toContain('sum to 2');
    expect(judged(logs(times(probabilities, 100)), 'log_probabilities')).toBeNull();
  });

  it.each([
    [probabilities, 'logits', 'never below 0 and sum to 1 for every picture'],
    [times(probabilities, 100), 'logits', 'sum to 100 for every picture'],
    [logits, 'probabilities', 'some of its answers are below 0 (the least is -4.00)'],
    [
      [
        [0.9, 0.8, 0.1],
        [0.2, 0.1, 0.3],
      ],
      'probabilities',
      'sum to 0.6 to 1.8, and not always to the same',
    ],
    [logits, 'log_probabilities', 'some of its answers are above 0 (the largest is 3.00)'],
    [
      [
        [-0.1, -0.2, -5],
        [-3, -2, -4],
      ],
      'log_probabilities',
      'do not always sum to the same',
    ],
  ] as const)('that contradict the graph are a question: case %#', (rows, kind, message) => {
    expect(() => judged(rows as number[][], kind)).toThrow(message);
    expect(() => judged(rows as number[][], kind)).toThrow('Set teacher.output to what it answers');
  });

  it('are what the user says, in doubt, and that is said; but nothing makes probabilities of values below 0', () => {
    expect(judged(probabilities, 'logits', 'user')).toContain(
      'they are taken for logits all the same, as teacher.output says logits.',
    );
    expect(
      judged(
        [
          [0.9, 0.8, 0.1],
          [0.2, 0.1, 0.3],
        ],
        'probabilities',
        'user',
      ),
    ).toContain('they are scaled to 1');
    expect(() => judged(logits, 'probabilities', 'user')).toThrow(
      'teacher.output is probabilities, but on the validation images some of its answers are below 0',
    );
  });
});
