import {createHash} from 'node:crypto';
import {describe, expect, it} from 'vitest';
import {renderReport} from '../../src/report/html.js';
import type {Curve, ReportCalibration, ReportClass, ReportData} from '../../src/report/report-data.js';

const PIXEL = 'data:image/png;base64,iVBORw0KGgo=';

const klass = (name: string, changes: Partial<ReportClass> = {}): ReportClass => ({
  name,
  candidates: 5121,
  selected: 200,
  cutoff: -0.113,
  examples: [{rank: 1, score: -0.00012, image: 'ab'.repeat(12), place: `pool/${name}.png`, picture: PIXEL}],
  ...changes,
});

const curve = (changes: Partial<Curve> = {}): Curve => ({
  title: 'Teacher',
  steps: [10, 20, 30].map(step => ({
    step,
    totalSteps: 30,
    loss: 4 - step / 20,
    lr: 0.1,
    imagesPerSecond: 3000,
    memoryBytes: 1.2e9,
  })),
  evaluations: [1, 2, 3].map(epoch => ({epoch, top1: [0.2, 0.41, 0.4][epoch - 1]!, top5: 0.7, loss: 2})),
  bestEpoch: 2,
  ...changes,
});

const calibration = (changes: Partial<ReportCalibration> = {}): ReportCalibration => {
  const bins = [
    {images: 0, probability: 0, accuracy: 0},
    {images: 4000, probability: 0.5, accuracy: 0.4},
    {images: 6000, probability: 0.9, accuracy: 0.7},
  ];
  return {
    model: 'student',
    temperature: 1.32,
    validation: {before: 0.12, after: 0.02},
    evaluated: {before: 0.13, after: 0.03},
    bins: {before: bins, after: bins},
    ...changes,
  };
};

const sample = (changes: Partial<ReportData> = {}): ReportData => ({
  run: 'cifar100',
  about: 'a small run',
  finishedAt: '2026-01-02T03:04:05.000Z',
  pupil: '0.1.0',
  device: 'cpu',
  seed: 0,
  results: {
    teacher: {top1: 0.396, top5: 0.693},
    supervised: {top1: 0.399, top5: 0.697},
    studentPretrained: {top1: 0.39, top5: 0.688},
    student: {top1: 0.418, top5: 0.717},
  },
  flipped: null,
  rounds: [],
  experiment: null,
  calibration: [
    calibration({model: 'teacher', temperature: 1, validation: null, evaluated: {before: 0.051, after: 0.051}}),
    calibration(),
  ],
  set: 'test',
  evaluatedImages: 10_000,
  steps: {student: 15_640, supervised: 15_660},
  counts: {classes: 2, train: 5000, validation: 5000, test: 10_000, pool: 40_000, leaks: 3},
  selection: {
    classes: 2,
    topP: 10,
    topK: 200,
    scored: 40_000,
    candidates: 10_242,
    selected: 343,
    shortClasses: 1,
    images: 340,
    expectedPrecision: 0.54,
  },
  stages: [
    {name: 'teacher', status: 'done', seconds: 60, headline: '39.9 % top-1 on validation', imagesPerSecond: 3510},
    {name: 'export', status: 'skipped', seconds: 15, headline: '', imagesPerSecond: null},
  ],
  curves: [curve()],
  settings: {
    steps: ['Teacher', 'Student, pre-training'],
    different: [{key: 'targets', values: [null, 'soft']}],
    alike: [{key: 'batch_size', value: '128'}],
    off: ['mix', 'ema'],
  },
  classes: [klass('apple'), klass('pear', {selected: 143, cutoff: -5.2})],
  quarantine: [{stage: 'score', code: 'TRUNCATED', images: 2}],
  config: 'run: cifar100\nseed: 0\n',
  ...changes,
});

/**
 * Every tag of the page, once style and script, which hold no markup, are emptied; fails on a `<` that is no tag, or on
 * tags that do not nest.
 */
function tagsOf(page: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  const rest = page
    .replace(/<(style|script)>.*?<\/\1>/gs, '<$1></$1>')
    .replace(
      /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z0-9:-]+(?:="[^"<>]*")?)*)\s*(\/?)>/g,
      (_, end: string, name: string, __, selfClosed: string) => {
        if (end !== '') expect(open.pop(), 'the element that is closed').toBe(name);
        else {
          names.push(name);
          if (selfClosed === '' && !['meta', 'link', 'img', 'input'].includes(name)) open.push(name);
        }
        return '';
      },
    );
  expect(open).toEqual([]);
  expect(rest.replace('<!doctype html>', '')).not.toMatch(/[<>]/);
  return names;
}

const count = (page: string, text: string): number => page.split(text).length - 1;

describe('the report', () => {
  it('leads with the verdict, then results, calibration, curves, data, selection, time and configuration', () => {
    const page = renderReport(sample());
    const parts = [
      '<h1>The student gets 41.8',
      'id="results"',
      'id="calibration"',
      'id="curves"',
      'id="data"',
      'id="selection"',
      'id="time"',
      'id="configuration"',
    ];
    const order = parts.map(part => page.indexOf(part));
    expect(order).not.toContain(-1);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    tagsOf(page);
  });

  it('shows every model with its interval, and says that the test set was read once', () => {
    const page = renderReport(sample());
    expect(page).toContain('41.8 %<small>40.8 – 42.8</small>');
    expect(page).toContain('15,660 steps, the student had 15,640');
    expect(page).toContain('The test set of 10,000 images was read once');
  });

  it('leaves out the models that a run lacks', () => {
    const page = renderReport(sample({results: {...sample().results, supervised: null}, steps: null}));
    expect(page).not.toContain('<th scope="row">Supervised baseline');
    expect(page).toContain('No equal-step supervised baseline was trained');
  });

  it('says which set was measured when there is no test set', () => {
    const page = renderReport(sample({set: 'validation', evaluatedImages: 1000}));
    expect(page).toContain('Measured on the validation set of 1,000 images');
    expect(page).not.toContain('was read once');
  });

  it('needs no network, and forbids it', () => {
    const page = renderReport(sample());
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1]?.replaceAll('&#39;', "'");
    const script = /<script>(.*?)<\/script>/s.exec(page)?.[1] ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'`);
    expect(page).not.toMatch(/(src|srcset|action)="(?!data:)/);
    expect(page.match(/href="[^"]*"/g)).toEqual(['href="data:,"', 'href="https://arxiv.org/abs/1905.00546"']);
    expect(page).not.toMatch(/@import|url\(/);
  });

  it('takes names, places, texts and config from strangers as text', () => {
    const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;</table>\u202e`;
    const page = renderReport(
      sample({
        run: hostile,
        about: hostile,
        device: hostile,
        classes: [
          klass(hostile, {selected: 1, examples: [{rank: 1, score: -1, image: 'ab', place: hostile, picture: null}]}),
        ],
        stages: [{name: hostile, status: hostile, seconds: 1, headline: hostile, imagesPerSecond: 1}],
        curves: [curve({title: hostile})],
        quarantine: [{stage: hostile, code: hostile, images: 1}],
        config: `about: "${hostile}</code></pre></details>"`,
      }),
    );
    const tags = tagsOf(page);
    expect(tags.filter(name => name === 'script')).toHaveLength(1);
    expect(tags).not.toContain('img');
    expect(page).toContain('&amp;amp;&lt;/table&gt;');
  });
});

describe('the curves of the report', () => {
  it('mark the epoch that was kept', () => {
    const page = renderReport(sample());
    expect(page).toContain('epoch 2 kept: 41.0 % top-1, 70.0 % top-5');
    expect(count(page, '<text class="best-label"')).toBe(1);
  });

  it('show accuracies and losses, learning rate, speed and memory, each with a name for those who cannot see it', () => {
    const page = renderReport(sample({counts: {...sample().counts, classes: 100}}));
    const names = [...page.matchAll(/<svg class="plot [a-z]+"[^>]* aria-label="Teacher: ([^"]*)"/g)].map(
      ([, name]) => name,
    );
    expect(names).toEqual(
      expect.arrayContaining([
        'validation accuracy by epoch',
        'training and validation loss by step',
        'learning rate by step',
        'images a second by step',
        'memory by step',
      ]),
    );
    for (const kind of ['top1', 'top5', 'loss', 'validation', 'lr', 'speed', 'memory'])
      expect(page).toMatch(new RegExp(`<path class="${kind}" d="M[^"]+L`));
    expect(page).toContain('>1 GB</text>');
  });

  it('leave out a top-5 that is always 100 %', () =>
    expect(renderReport(sample())).not.toContain('<path class="top5"'));

  it('draw the validation loss at the ends of its epochs, on the axis of the steps', () => {
    const [, loss = '', validation = ''] =
      /<path class="loss" d="([^"]*)"\/>\n<path class="validation" d="([^"]*)"/.exec(renderReport(sample())) ?? [];
    const across = (path: string) =>
      path
        .slice(1)
        .split('L')
        .map(point => point.split(',')[0]);
    expect(across(validation)).toEqual(across(loss));
  });

  it('of long trainings are averages of neighbours, and stay small', () => {
    const steps = Array.from({length: 48_000}, (_, step) => ({
      step,
      totalSteps: 48_000,
      loss: 2 + (step % 2),
      lr: 0.1,
      imagesPerSecond: 1000 + (step % 2),
      memoryBytes: 1e9,
    }));
    const page = renderReport(sample({curves: [curve({steps})]}));
    expect(page.length).toBeLessThan(75_000);
    // Every other loss is 3 and the rest 2: each mean of 400 neighbours is as high as the next.
    const heights = new Set(
      (/<path class="loss" d="M([^"]*)"/.exec(page)?.[1] ?? '').split('L').map(point => point.split(',')[1]),
    );
    expect(heights.size).toBe(1);
  });

  it('can be drawn from a single reading, from none, and from a run that measured nothing', () => {
    const single = curve({
      steps: curve().steps.slice(0, 1),
      evaluations: [{epoch: 1, top1: 0, top5: 0, loss: 1}],
      bestEpoch: 1,
    });
    const nothing = {teacher: null, supervised: null, studentPretrained: null, student: null};
    const settings = {steps: [], different: [], alike: [], off: []};
    for (const changes of [
      {curves: [single]},
      {curves: [curve({steps: []})]},
      {curves: [], settings, calibration: [], results: nothing, evaluatedImages: 0, stages: [], classes: []},
    ]) {
      const page = renderReport(sample(changes));
      tagsOf(page);
      expect(page).not.toMatch(/NaN|undefined|Infinity/);
    }
  });
});

describe('the settings in the report', () => {
  it('are told once where they are alike, and side by side where they differ', () => {
    const page = renderReport(sample());
    expect(page).toContain('<tr><th scope="row"><code>targets</code></th><td>–</td><td>soft</td></tr>');
    expect(page).toContain(
      'Alike in all: <code>batch_size</code> 128. Off in all: <code>mix</code>, <code>ema</code>.',
    );
  });
});

describe('the calibration in the report', () => {
  it('shows the error before and after a temperature on the set where it was fitted and on the test set, and once where there is none', () => {
    const page = renderReport(sample());
    expect(page).toContain(
      '<tr><th scope="row">Student</th><td class="number">1.32</td><td class="number">2.0 %<small>was 12.0 %</small></td><td class="number">3.0 %<small>was 13.0 %</small></td></tr>',
    );
    expect(page).toContain(
      '<tr><th scope="row">Teacher</th><td class="number">1</td><td class="number">–</td><td class="number">5.1 %</td></tr>',
    );
    expect(page).toContain('>Error on validation</th>');
    expect(page).toContain('>Error on test</th>');
  });

  it('draws the bins that hold images, as trained and at the temperature', () => {
    const page = renderReport(sample({calibration: [calibration()]}));
    const [, before = '', after = ''] =
      /<g class="before">(.*?)<\/g><g class="after">(.*?)<\/g>/s.exec(page.slice(page.indexOf('id="calibration"'))) ??
      [];
    expect([count(before, '<circle'), count(after, '<circle')]).toEqual([2, 2]);
    expect(renderReport(sample({calibration: [calibration({temperature: 1})]}))).not.toContain('<g class="before"');
  });

  it('has one column where the results are those of validation', () =>
    expect(renderReport(sample({set: 'validation'})).match(/Error on validation/g)).toHaveLength(1));
});

it('shows figures with mirror images apart from the headline, and says that they are none', () => {
  const flipped = {...sample().results, supervised: null, student: {top1: 0.432, top5: 0.73}};
  const page = renderReport(sample({flipped}));
  expect(page).toContain('With the mirror image as well <span class="chip">not the headline</span>');
  expect(page).toContain(
    '<tr><th scope="row">Student</th><td class="number">43.2 %</td><td class="number">73.0 %</td></tr>',
  );
  expect(page).toContain('<h1>The student gets 41.8');
  expect(renderReport(sample())).not.toContain('mirror image');
  tagsOf(page);
});

describe('the selection in the report', () => {
  it('gives each cut-off as log-probability and as probability, and marks short classes', () => {
    const page = renderReport(sample());
    expect(page).toContain('>−0.113</td>\n<td class="number" data-label="probability">0.893</td>');
    expect(page).toContain('<tr class="short"><th scope="row"><bdi>pear</bdi> <span class="chip">short</span>');
    expect(page).toContain('1 of 2 classes is short');
    expect(page).toContain('<bdi>pear</bdi> (143)');
  });

  it('tells where an example lies, and its rank and score', () => {
    expect(renderReport(sample())).toContain(
      `<img src="${PIXEL}" title="rank 1, log-prob −0.000120, probability &gt; 0.999\npool/apple.png"`,
    );
  });

  it('keeps the place of an example whose picture could not be read', () => {
    const examples = [{rank: 7, score: -1, image: 'ab', place: 'pool/gone.png', picture: null}];
    expect(renderReport(sample({classes: [klass('apple', {examples})]}))).toMatch(
      /<span class="missing" title="rank 7, [^"]*pool\/gone.png"/,
    );
  });

  it('shows a class in which nothing was kept', () => {
    const page = renderReport(
      sample({classes: [klass('apple', {candidates: 0, selected: 0, cutoff: null, examples: []})]}),
    );
    expect(page).toContain('data-label="log-prob">–</td>');
    expect(page).not.toContain('The cut-off is');
  });

  it('shows few classes at once, and folds a thousand into groups that can be searched', () => {
    expect(renderReport(sample())).not.toContain('id="find"');
    const page = renderReport(sample({classes: Array.from({length: 1000}, (_, n) => klass(`class ${n}`))}));
    expect(page).toContain('<form id="find" hidden>');
    expect(count(page, '<details class="group"')).toBe(20);
    expect(count(page, '<details class="group" open>')).toBe(1);
    expect(count(page, '<th scope="row"><bdi>class ')).toBe(1000);
    expect(page).toContain('Classes 951 to 1,000');
  });
});

describe('the time table of the report', () => {
  it('draws each stage against the longest, and marks what did not run', () => {
    const page = renderReport(sample());
    expect(page).toContain('width: 100.0%');
    expect(page).toContain('width: 25.0%');
    expect(page).toContain('export <span class="chip">skipped</span>');
    expect(page).toContain('<td class="number">75 s</td>');
  });
});
