import sharp from 'sharp';
import {describe, expect, it} from 'vitest';
import {fromWire, toWire} from '../../src/children/protocol.js';
import {armsPlot, plotFile} from '../../src/report/experiment-plot.js';
import {
  experimentResults,
  rowsForScripts,
  rowsOf,
  type ExperimentResults,
  type Row,
  type RunFigures,
} from '../../src/report/experiment-results.js';
import {experimentPage} from '../../src/report/experiment-section.js';
import {csvTable, markdownTable, terminalTable} from '../../src/report/experiment-table.js';

/** Top-1 in percent: teacher, supervised, student pre-trained and fine-tuned. */
function run(
  arm: string,
  seed: number,
  percents: readonly [number | null, number | null, number, number],
  changes: Partial<RunFigures> = {},
): RunFigures {
  const [teacher, supervised, studentPretrained, student] = percents.map(value =>
    value === null ? null : {top1: value / 100, top5: 0.7},
  );
  return {
    run: `birds.${arm}.seed${seed}`,
    arm,
    seed,
    measuredOn: {set: 'test', images: 10_000, pictures: 'those'},
    results: {teacher: teacher!, supervised: supervised!, studentPretrained: studentPretrained!, student: student!},
    steps: {teacher: 1600, supervised: 1600, studentPretrained: 1280, student: 1600},
    seconds: {teacher: 100, supervised: 98, studentPretrained: 75, student: 95},
    ...changes,
  };
}

const sample = (changes: Partial<ExperimentResults> = {}): ExperimentResults => ({
  experiment: 'birds',
  about: 'K under three seeds',
  command: 'pupil experiment birds.yaml',
  finishedAt: '2026-01-02T03:04:05.000Z',
  reference: 'paper',
  arms: [
    {name: 'paper', about: 'K = 200'},
    {name: 'k100', about: ''},
  ],
  runs: [
    run('paper', 0, [40, 39, 38, 42]),
    run('paper', 1, [41, 40, 38, 42]),
    run('paper', 2, [39, 41, 39, 42]),
    run('k100', 0, [40, 39, 37, 41]),
    run('k100', 2, [39, 41, 38, 42]),
  ],
  missing: [{run: 'birds.k100.seed1', reason: 'The loss became nan\nat step 3'}],
  ...changes,
});

const find = (rows: readonly Row[], arm: string | null, model: Row['model']) =>
  rows.find(row => row.arm === arm && row.model === model)!;

describe('arms that were measured on different pictures', () => {
  const validation = {measuredOn: {set: 'validation' as const, images: 30, pictures: 'others'}};
  const mixed = sample({
    runs: [
      run('paper', 0, [40, 39, 38, 42]),
      run('paper', 1, [40, 39, 38, 42]),
      run('k100', 0, [50, 49, 47, 51], validation),
      run('k100', 1, [50, 49, 47, 51], validation),
    ],
  });

  it('are not compared with each other, and the table says so', () => {
    expect(find(rowsOf(mixed), 'k100', 'student')).toMatchObject({
      toReference: null,
      toTeacher: {mean: expect.closeTo(0.01, 6) as number},
    });
    expect(markdownTable(mixed)).toContain(
      'Top-1 on different sets, between which nothing is compared (paper: the test set of 10,000 images, read once a run; k100: the validation set of 30 images, on which epochs were chosen, so it flatters): mean',
    );
  });

  it('are not taken for one set where they are as many', () => {
    const others = {measuredOn: {set: 'test' as const, images: 10_000, pictures: 'others'}};
    const asMany = sample({
      runs: [
        run('paper', 0, [40, 39, 38, 42]),
        run('k100', 0, [50, 49, 47, 51], others),
        run('k100', 1, [50, 49, 47, 51]),
      ],
    });
    expect(markdownTable(asMany)).toContain(
      'between which nothing is compared (paper: the test set of 10,000 images, read once a run; k100: the test set of 10,000 images, read once a run): mean',
    );
  });
});

describe('the rows', () => {
  const rows = rowsOf(sample());

  it('are the reference’s teacher and baseline, then the students of each arm', () => {
    expect(rows.map(({arm, model, top1}) => [arm, model, top1.n])).toEqual([
      [null, 'teacher', 3],
      [null, 'supervised', 3],
      ['paper', 'studentPretrained', 3],
      ['paper', 'student', 3],
      ['k100', 'studentPretrained', 2],
      ['k100', 'student', 2],
    ]);
  });

  it('give mean, deviation and the paired differences as worked out by hand', () => {
    expect(find(rows, null, 'teacher').top1).toMatchObject({
      n: 3,
      mean: expect.closeTo(0.4, 10),
      deviation: expect.closeTo(0.01, 10),
    });
    const paper = find(rows, 'paper', 'student');
    expect(paper.top1).toMatchObject({mean: expect.closeTo(0.42, 10), deviation: expect.closeTo(0, 10)});
    // To the teachers 2, 1, 3: mean 2, deviation 1, half the interval 4.30265 x 1 / sqrt(3) = 2.48414.
    expect(paper.toTeacher).toMatchObject({n: 3, mean: expect.closeTo(0.02, 10), deviation: expect.closeTo(0.01, 10)});
    expect(paper.toTeacher!.interval!.low).toBeCloseTo(-0.0048414, 6);
    expect(paper.toTeacher!.interval!.high).toBeCloseTo(0.0448414, 6);
    // To the baselines 3, 2, 1.
    expect(paper.toSupervised).toMatchObject({n: 3, mean: expect.closeTo(0.02, 10)});
    expect(paper.toReference).toBe(null);
  });

  it('compare an arm with the reference under the seeds that both have', () => {
    // -1 and 0: mean -0.5, deviation 0.70711, half the interval 12.7062 x 0.70711 / sqrt(2) = 6.3531.
    const {toReference} = find(rows, 'k100', 'student');
    expect(toReference).toMatchObject({n: 2, mean: expect.closeTo(-0.005, 10)});
    expect(toReference!.interval!.low).toBeCloseTo(-0.068531, 6);
    expect(toReference!.interval!.high).toBeCloseTo(0.058531, 6);
  });

  it('show an arm’s own teacher and baseline where they are others than the reference’s', () => {
    const others = rowsOf(sample({runs: [run('paper', 0, [40, 39, 38, 42]), run('k100', 0, [43, 39, 38, 44])]}));
    expect(others.map(({arm, model}) => [arm, model])).toEqual([
      [null, 'teacher'],
      [null, 'supervised'],
      ['paper', 'studentPretrained'],
      ['paper', 'student'],
      ['k100', 'teacher'],
      ['k100', 'studentPretrained'],
      ['k100', 'student'],
    ]);
    expect(find(others, 'k100', 'student').toTeacher).toEqual({
      n: 1,
      mean: expect.closeTo(0.01, 10),
      deviation: null,
      interval: null,
    });
  });

  it('are fewer where a model is missing, and none without runs', () => {
    expect(rowsOf(sample({runs: [run('paper', 0, [40, null, 38, 42])]})).map(({model}) => model)).toEqual([
      'teacher',
      'studentPretrained',
      'student',
    ]);
    expect(rowsOf(sample({runs: []}))).toEqual([]);
  });
});

it('as Markdown is a table that names its command, its arms and what is missing', () => {
  expect(markdownTable(sample()))
    .toBe(`|  | top-1 | sd | n | to its teacher | to supervised | to \`paper\` | steps | time |
| --- | ---: | ---: | ---: | --- | --- | --- | ---: | ---: |
| teacher | 40.0 % | 1.0 | 3 |  |  |  | 1,600 | 1 min 40 s |
| supervised, equal steps | 40.0 % | 1.0 | 3 | 0.0 (-4.3 to 4.3) |  |  | 1,600 | 98 s |
| paper, pre-trained | 38.3 % | 0.6 | 3 | -1.7 (-5.5 to 2.1) | -1.7 (-3.1 to -0.2) |  | 1,280 | 75 s |
| **paper, fine-tuned** | 42.0 % | 0.0 | 3 | +2.0 (-0.5 to 4.5) | +2.0 (-0.5 to 4.5) |  | 1,600 | 95 s |
| k100, pre-trained | 37.5 % | 0.7 | 2 | -2.0 (-14.7 to 10.7) | -2.5 (-8.9 to 3.9) | -1.0 (-1.0 to -1.0) | 1,280 | 75 s |
| **k100, fine-tuned** | 41.5 % | 0.7 | 2 | +2.0 (-10.7 to 14.7) | +1.5 (-4.9 to 7.9) | -0.5 (-6.9 to 5.9) | 1,600 | 95 s |

\`pupil experiment birds.yaml\`. Top-1 on the test set of 10,000 images, read once a run: mean, standard deviation and number n of runs. Differences are in points, each within a run or between runs of one seed, with the 95 % interval by Student's t. Steps and time are those of the training.

- \`paper\`: K = 200

Missing:

- birds.k100.seed1: The loss became nan
`);
});

it('as CSV has fractions, and nothing where nothing can be said', () => {
  const [header, teacher] = csvTable(sample())
    .split('\n')
    .map(line => line.split(','));
  expect(header!.slice(0, 8)).toEqual([
    'arm',
    'model',
    'n',
    'top1',
    'deviation',
    'top1_low',
    'top1_high',
    'to_teacher',
  ]);
  expect(teacher!.slice(0, 3)).toEqual(['', 'teacher', '3']);
  expect(Number(teacher![3])).toBeCloseTo(0.4, 10);
  expect(teacher!.slice(7, 16)).toEqual(Array.from({length: 9}, () => ''));
});

it('fits a terminal of 80 columns', () => {
  const long = sample({
    reference: 'paper',
    runs: sample().runs.map(figures => (figures.arm === 'k100' ? {...figures, arm: 'rand-cutout-mix'} : figures)),
    arms: [
      {name: 'paper', about: ''},
      {name: 'rand-cutout-mix', about: ''},
    ],
  });
  const lines = terminalTable(long).split('\n');
  expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(80);
  expect(lines.find(line => line.startsWith('paper, fine-tuned '))).toMatch(
    /^paper, fine-tuned +42\.0 % +0\.0 +3 +1,600 +95 s$/,
  );
  expect(lines.find(line => line.startsWith('paper  '))).toMatch(
    /^paper +\+2\.0 \(-0\.5\.\.4\.5\) +\+2\.0 \(-0\.5\.\.4\.5\)$/,
  );
});

it('comes back from its file as it was', () => {
  const results = sample();
  expect(experimentResults.parse(fromWire(toWire({...results, rows: rowsForScripts(results)})))).toEqual(results);
});

describe('the plot', () => {
  it('has a dot a run, a mean a row, and is an image as it stands', async () => {
    const svg = plotFile(sample())!;
    expect(svg.match(/class="run"/g)).toHaveLength(3 * 4 + 2 * 2);
    expect(svg.match(/class="mean"/g)).toHaveLength(6);
    const {width, height} = await sharp(Buffer.from(svg)).metadata();
    expect([width, height]).toEqual([720, 172]);
  });

  it('stands where all accuracies are the same, and is none without runs', () => {
    expect(armsPlot(sample({runs: [run('paper', 0, [40, 40, 40, 40])]}))?.toString()).not.toContain('NaN');
    expect(plotFile(sample({runs: []}))).toBe(null);
  });
});

it('escapes what people wrote', () => {
  const page = experimentPage(sample({about: '<script>alert(1)</script>'}), [
    {run: 'birds.paper.seed0', report: '../birds.paper.seed0/report.html'},
  ]);
  expect(page).not.toContain('<script>');
  expect(page).toContain('<a href="../birds.paper.seed0/report.html">');
});
