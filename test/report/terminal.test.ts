import {PassThrough} from 'node:stream';
import {stripVTControlCharacters} from 'node:util';
import {afterEach, describe, expect, it, vi} from 'vitest';
import type {Event} from '../../src/events.js';
import {
  jsonView,
  lasting,
  moving,
  painter,
  plainView,
  terminalView,
  viewFor,
  type View,
} from '../../src/report/terminal.js';
import {wrappedFor} from '../../src/report/wrap.js';

const plain = (_: string, text: string) => text;
const inOne = (event: Event): string | null => {
  const line = lasting(event, plain);
  return line === null ? null : line.head + line.text;
};
const step = (changes: Partial<Extract<Event, {type: 'step'}>> = {}): Event => ({
  type: 'step',
  stage: 'teacher',
  part: '',
  step: 1200,
  totalSteps: 9000,
  epoch: 3,
  loss: 2.10449,
  lr: 0.1,
  imagesPerSecond: 9123,
  memoryBytes: 700_000_000,
  ...changes,
});
const progress: Event = {
  type: 'progress',
  stage: 'score',
  part: '',
  done: 25_000,
  total: 100_000,
  imagesPerSecond: 500,
};
const evaluated: Event = {type: 'evaluated', stage: 'teacher', part: '', epoch: 3, top1: 0.6123, top5: 0.84, loss: 1.2};

/** A stream that a view can take for a terminal (or a pipe), and what was written to it. */
function stream(isTTY: boolean, columns = 80): {stream: NodeJS.WriteStream; written: () => string} {
  const chunks: string[] = [];
  const through = new PassThrough();
  through.on('data', chunk => chunks.push(String(chunk)));
  const fake = Object.assign(through, {isTTY, columns, rows: 24});
  return {stream: fake as unknown as NodeJS.WriteStream, written: () => chunks.join('')};
}

function show(view: View, ...events: Event[]): void {
  for (const event of events) view.emit(event);
  view.close();
}

afterEach(() => vi.unstubAllEnvs());

describe('words of events that stay', () => {
  it.each<[Event, string | null]>([
    [{type: 'started', run: 'demo', home: '/home/a', device: 'cpu'}, 'pupil demo in /home/a on cpu'],
    [{type: 'stage_fresh', stage: 'score', reason: 'nothing changed'}, '= score     fresh: nothing changed'],
    [
      {type: 'stage_skipped', stage: 'teacher', reason: 't.pt stands in for it'},
      '- teacher   skipped: t.pt stands in for it',
    ],
    [
      {type: 'stage_started', stage: 'select', reason: 'select.top_k changed from 5 to 6'},
      '> select    select.top_k changed from 5 to 6',
    ],
    [
      {type: 'stage_finished', stage: 'score', seconds: 8.12, summary: '100 images scored'},
      '+ score     100 images scored (8.1 s)',
    ],
    [
      {type: 'note', stage: 'score', message: '12 of 20 images are scored already'},
      '  score     12 of 20 images are scored already',
    ],
    [{type: 'note', stage: null, message: 'drawing'}, '  drawing'],
    [{type: 'warning', stage: 'select', message: '3 classes are short'}, '! select    3 classes are short'],
    [{type: 'failed', exitCode: 3, code: 'POOL_EMPTY', message: 'POOL_EMPTY'}, 'x POOL_EMPTY'],
    [progress, null],
    [step(), null],
  ])('%o', (event, words) => expect(inOne(event)).toBe(words));
});

describe('words of events that a newer one replaces', () => {
  it.each<[Event, string | null]>([
    [progress, 'score     25,000 of 100,000 (25 %) images, 2 min 30 s left, 500/s'],
    [{...progress, total: null}, 'score     25,000 images, 500/s'],
    [
      {...progress, busy: {reading: 0.02, decoding: 0.97, inferring: 0.6, writing: 0}},
      'score     25,000 of 100,000 (25 %) images, 2 min 30 s left, 500/s, decoding 97 % busy',
    ],
    [
      {...progress, stage: 'prepare', part: 'packing test', imagesPerSecond: 0},
      'prepare   packing test: 25,000 of 100,000 (25 %) images, 0/s',
    ],
    [step(), 'teacher   step 1,200 of 9,000 (13 %), loss 2.104, epoch 3, 9,120 images/s'],
    [evaluated, 'teacher   epoch 3, validation top-1 61.2 %'],
    [{type: 'stage_fresh', stage: 'score', reason: 'nothing changed'}, null],
  ])('%o', (event, words) => expect(moving(event)?.join(', ') ?? null).toBe(words));
});

describe('the view on a terminal', () => {
  it('fits what moves to the width of the terminal, the time left before all else', () => {
    const long = step({
      stage: 'evaluate',
      part: 'baseline',
      step: 123_456,
      totalSteps: 9_000_000,
      imagesPerSecond: 9123,
    });
    const shown = (columns: number) => {
      const {stream: terminal, written} = stream(true, columns);
      show(terminalView(terminal), evaluated, long, {...long, step: 123_457} as Event);
      const lines = stripVTControlCharacters(written()).split(/[\r\n]+/);
      expect(Math.max(...lines.map(line => line.length))).toBeLessThan(columns);
      return lines.findLast(line => line.startsWith('~ evaluate')) ?? '';
    };
    expect(shown(80)).toMatch(
      /^~ evaluate {2}baseline: step 123,457 of 9,000,000 \(1 %\), .* left$|^~ .* left, loss 2\.104$/,
    );
    expect(shown(120)).toMatch(/ left, loss 2\.104, validation 61\.2 %/);
    expect(shown(40)).toMatch(/^~ evaluate {2}baseline: step 123,4.*\.\.\.$/);
  });

  it('breaks what stands between words, each line below the first, and leaves paths whole', () => {
    const {stream: terminal, written} = stream(true, 50);
    const path = '/home/somebody/pictures/of/birds/that-fly-over-the-sea/0001.jpg';
    show(
      terminalView(terminal),
      {
        type: 'warning',
        stage: 'select',
        message: `3 classes of 10 have fewer than K = 1,000 candidates and kept all: ${path}`,
      },
      {type: 'failed', exitCode: 3, code: 'POOL_EMPTY', message: 'No pictures.\nGive some.'},
    );
    expect(stripVTControlCharacters(written())).toBe(`! select    3 classes of 10 have fewer than K =
            1,000 candidates and kept all:
            ${path}
x No pictures.
  Give some.
`);
  });

  it('that tells no width is taken for one of 80 columns', () => {
    const message = 'word '.repeat(40).trim();
    const shown = (columns: number) => {
      const {stream: terminal, written} = stream(true, columns);
      show(terminalView(terminal), {type: 'note', stage: null, message});
      return [stripVTControlCharacters(written()), wrappedFor(terminal, message)];
    };
    expect(shown(0)).toEqual(shown(80));
  });

  it('makes room for what is said of a stop: the next line that moves does not wipe it out', () => {
    const {stream: terminal, written} = stream(true);
    const stopping = new AbortController();
    const view = terminalView(terminal, stopping.signal);
    view.emit(step());
    stopping.abort();
    terminal.write('\nStopping\n');
    view.emit(step({step: 1201}));
    const after = written().slice(written().indexOf('Stopping'));
    // Neither a line up nor a line erased between the message and the next step.
    // eslint-disable-next-line no-control-regex
    expect(after.slice(0, after.indexOf('~'))).not.toMatch(/\u001b\[\d*A/);
    view.close();
  });

  it('keeps what is done above, and adds the last validation accuracy to the steps', () => {
    const {stream: terminal, written} = stream(true, 120);
    show(terminalView(terminal), {type: 'stage_started', stage: 'teacher', reason: 'never ran'}, evaluated, step(), {
      type: 'stage_finished',
      stage: 'teacher',
      seconds: 60,
      summary: 'learnt',
    });
    const text = stripVTControlCharacters(written());
    expect(text).toContain('> teacher   never ran\n');
    expect(text).toContain('loss 2.104, validation 61.2 %, epoch 3, 9,120 images/s');
    expect(text).toContain('+ teacher   learnt (60 s)\n');
  });

  it('has colours there and nowhere else, and none under NO_COLOR', () => {
    const red = (isTTY: boolean) => painter(stream(isTTY).stream)('red', 'x');
    vi.stubEnv('NO_COLOR', '');
    vi.stubEnv('TERM', 'xterm');
    expect(red(true)).toBe('\u001b[31mx\u001b[39m');
    expect(red(false)).toBe('x');
    vi.stubEnv('NO_COLOR', '1');
    expect(red(true)).toBe('x');
  });
});

describe('the view in a pipe', () => {
  it('is lines of plain text without any escape code', () => {
    const {stream: pipe, written} = stream(false);
    show(viewFor(pipe), {type: 'started', run: 'demo', home: '/h', device: 'cpu'}, progress, step(), evaluated, {
      type: 'warning',
      stage: null,
      message: 'mind \u001b[31mthis\u001b[39m',
    });
    expect(written()).toMatch(/^pupil demo in \/h on cpu\n/);
    expect(written()).toMatch(/! mind this\n$/);
    expect(written()).not.toContain('\u001b');
  });

  it('shows what a message holds of others escaped, on a terminal too', () => {
    const name = 'a\u0007b\u009b2Jc\u202ed';
    expect(inOne({type: 'warning', stage: null, message: `class ${name}\nnext line`})).toBe(
      '! class a\\x07bc\\u{202e}d\nnext line',
    );
  });

  it('tells every validation accuracy, but progress only now and then', () => {
    const {stream: pipe, written} = stream(false);
    show(
      plainView(pipe),
      step({step: 1}),
      step({step: 2}),
      step({step: 3}),
      evaluated,
      {...evaluated, epoch: 4},
      step({step: 4}),
    );
    const lines = written().trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain('step 1 of');
    expect(lines.slice(1)).toEqual([
      '~ teacher   epoch 3, validation top-1 61.2 %',
      '~ teacher   epoch 4, validation top-1 61.2 %',
    ]);
  });

  it('is what a dumb terminal gets, too', () => {
    vi.stubEnv('TERM', 'dumb');
    const {stream: terminal, written} = stream(true);
    show(viewFor(terminal), {type: 'stage_fresh', stage: 'score', reason: 'nothing changed'});
    expect(written()).toBe('= score     fresh: nothing changed\n');
  });
});

it('tells which run of an experiment begins, how long all are likely to take, and which failed', () => {
  const {stream: pipe, written} = stream(false);
  show(
    viewFor(pipe),
    {type: 'run_started', run: 'birds.k100.seed0', position: 3, total: 27, secondsLeft: 4800},
    {type: 'run_started', run: 'birds.k100.seed1', position: 4, total: 27, secondsLeft: null},
    {type: 'run_failed', run: 'birds.k100.seed1', exitCode: 5, code: 'BAD_DATA', message: 'The loss became nan.'},
  );
  expect(written()).toBe(
    '[3 of 27] birds.k100.seed0, about 80 min 0 s left\n[4 of 27] birds.k100.seed1\nx birds.k100.seed1 failed: The loss became nan.\n',
  );
});

it('gives scripts one line of JSON an event, keys in snake_case', () => {
  const {stream: pipe, written} = stream(false);
  show(jsonView(pipe), step(), {
    type: 'done',
    run: 'demo',
    seconds: 1,
    stages: {score: {status: 'ran', seconds: 1}},
    results: null,
    flipped: null,
    calibration: null,
    selection: null,
    verdict: null,
    rounds: [],
  });
  const [first = '', last = ''] = written().trimEnd().split('\n');
  expect(JSON.parse(first)).toMatchObject({type: 'step', total_steps: 9000, images_per_second: 9123});
  expect(JSON.parse(last)).toEqual({
    type: 'done',
    run: 'demo',
    seconds: 1,
    stages: {score: {status: 'ran', seconds: 1}},
    results: null,
    flipped: null,
    calibration: null,
    selection: null,
    verdict: null,
    rounds: [],
  });
});
