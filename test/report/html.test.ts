import {createHash} from 'node:crypto';
import {describe, expect, it} from 'vitest';
import {renderReport} from '../../src/report/html.js';
import type {Curve, ReportClass, ReportData} from '../../src/report/report-data.js';

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
  steps: [10, 20, 30].map(step => ({step, loss: 4 - step / 20, lr: 0.1, imagesPerSecond: 3000})),
  evaluations: [1, 2, 3].map(epoch => ({epoch, top1: [0.2, 0.41, 0.4][epoch - 1]!, top5: 0.7, loss: 2})),
  bestEpoch: 2,
  ...changes,
});

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
  set: 'test',
  evaluatedImages: 10_000,
  steps: {student: 15_640, supervised: 15_660},
  counts: {classes: 2, train: 5000, validation: 5000, test: 10_000, pool: 40_000, leaks: 3},
  selection: {classes: 2, topP: 10, topK: 200, scored: 40_000, candidates: 10_242, selected: 343, shortClasses: 1},
  stages: [
    {name: 'teacher', status: 'done', seconds: 60, headline: '39.9 % top-1 on validation', imagesPerSecond: 3510},
    {name: 'export', status: 'skipped', seconds: 15, headline: '', imagesPerSecond: null},
  ],
  curves: [curve()],
  classes: [klass('apple'), klass('pear', {selected: 143, cutoff: -5.2})],
  quarantine: [{stage: 'score', code: 'TRUNCATED', images: 2}],
  config: 'run: cifar100\nseed: 0\n',
  ...changes,
});

/** Every tag of the page, once style and script, which hold no markup, are emptied; fails on a `<` that is no tag, or on tags that do not nest. */
function tagsOf(page: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  const rest = page
    .replace(/<(style|script)>.*?<\/\1>/gs, '<$1></$1>')
    .replace(/<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z0-9:-]+(?:="[^"<>]*")?)*)\s*(\/?)>/g, (_, end: string, name: string, __, selfClosed: string) => {
      if (end !== '') expect(open.pop(), 'the element that is closed').toBe(name);
      else {
        names.push(name);
        if (selfClosed === '' && !['meta', 'link', 'img', 'input'].includes(name)) open.push(name);
      }
      return '';
    });
  expect(open).toEqual([]);
  expect(rest.replace('<!doctype html>', '')).not.toMatch(/[<>]/);
  return names;
}

const count = (page: string, text: string): number => page.split(text).length - 1;

describe('the report', () => {
  it('leads with the verdict, then results, curves, data, selection, time and configuration', () => {
    const page = renderReport(sample());
    const parts = ['<h1>The student gets 41.8', 'id="results"', 'id="curves"', 'id="data"', 'id="selection"', 'id="time"', 'id="configuration"'];
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
        classes: [klass(hostile, {selected: 1, examples: [{rank: 1, score: -1, image: 'ab', place: hostile, picture: null}]})],
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

  it('draw the steps that a resumed training repeated only once', () => {
    const {steps} = curve();
    const resumed = curve({steps: [...steps, ...steps.slice(1)]});
    expect(renderReport(sample({curves: [resumed]}))).toBe(renderReport(sample()));
  });

  it('stay small however long the training was', () => {
    const steps = Array.from({length: 50_000}, (_, step) => ({step, loss: Math.sin(step), lr: 0.1, imagesPerSecond: 1}));
    expect(renderReport(sample({curves: [curve({steps})]})).length).toBeLessThan(60_000);
  });

  it('can be drawn from a single reading, from none, and from a run that measured nothing', () => {
    const single = curve({steps: curve().steps.slice(0, 1), evaluations: [{epoch: 1, top1: 0, top5: 0, loss: 1}], bestEpoch: 1});
    const nothing = {teacher: null, supervised: null, studentPretrained: null, student: null};
    for (const changes of [{curves: [single]}, {curves: [curve({steps: []})]}, {curves: [], results: nothing, evaluatedImages: 0, stages: [], classes: []}]) {
      const page = renderReport(sample(changes));
      tagsOf(page);
      expect(page).not.toMatch(/NaN|undefined|Infinity/);
    }
  });
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
    expect(renderReport(sample())).toContain(`<img src="${PIXEL}" title="rank 1, log-prob −0.000120, probability &gt; 0.999\npool/apple.png"`);
  });

  it('keeps the place of an example whose picture could not be read', () => {
    const examples = [{rank: 7, score: -1, image: 'ab', place: 'pool/gone.png', picture: null}];
    expect(renderReport(sample({classes: [klass('apple', {examples})]}))).toMatch(/<span class="missing" title="rank 7, [^"]*pool\/gone.png"/);
  });

  it('shows a class in which nothing was kept', () => {
    const page = renderReport(sample({classes: [klass('apple', {candidates: 0, selected: 0, cutoff: null, examples: []})]}));
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
