import {existsSync, mkdirSync, readFileSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {describe, expect, it} from 'vitest';
import {runChild, type ChildOptions, type Stop} from '../../src/children/child.js';
import type {ChildCommand} from '../../src/children/child-process.js';
import {PROTOCOL, type Architecture, type ChildEvent} from '../../src/children/protocol.js';
import {ChildError, Interrupted, UserError, exitCodeFor} from '../../src/errors.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const fakeTrainer = fileURLToPath(new URL('../fixtures/fake-trainer.mjs', import.meta.url));
type Step = Record<string, unknown>;

const scripted = (script: Step[]): ChildCommand => ({
  name: 'trainer',
  file: process.execPath,
  args: [fakeTrainer],
  env: {FAKE_TRAINER_SCRIPT: JSON.stringify(script)},
  cwd: process.cwd(),
});

const probed = {runtime: 'torch 2.13.0', device: 'cpu', device_name: 'a CPU', bf16: false};
const hello: Step = {emit: {type: 'hello', protocol: PROTOCOL, runtime: 'torch 2.13.0', device: 'cpu'}};
const finished: Step = {emit: {type: 'finished', result: probed}};
const note = (message: string): Step => ({emit: {type: 'note', message}});

function stopSwitch(): {stop: Stop; requested: AbortController; forced: AbortController} {
  const [requested, forced] = [new AbortController(), new AbortController()];
  return {stop: {requested: requested.signal, forced: forced.signal}, requested, forced};
}

/** Runs a scripted child on a probe, and gathers its events. */
async function probe(script: Step[], options: Partial<ChildOptions> & {command?: Partial<ChildCommand>} = {}) {
  const attempt = options.attempt ?? (await temporaryFolder());
  const events: ChildEvent[] = [];
  const {command, ...others} = options;
  const outcome = runChild<'probe'>(
    {...scripted(script), ...command},
    {protocol: PROTOCOL, task: 'probe', device: 'cpu'},
    {attempt, stop: stopSwitch().stop, onEvent: event => events.push(event), ...others},
  );
  return {attempt, events, outcome};
}

/** The error that a promise ends with. */
const failureOf = async (script: Step[], options: Parameters<typeof probe>[1] = {}): Promise<unknown> => {
  const {outcome} = await probe(script, options);
  return await outcome.then(
    result => {
      throw new Error(`It succeeded with ${JSON.stringify(result)}.`);
    },
    (error: unknown) => error,
  );
};

async function childErrorOf(script: Step[], options: Parameters<typeof probe>[1] = {}): Promise<ChildError> {
  const error = await failureOf(script, options);
  if (error instanceof ChildError) return error;
  throw error;
}

describe('a child that does its work', () => {
  it('gives its result and its events, with camelCase keys, in order', async () => {
    const {events, outcome} = await probe([
      hello,
      {emit: {type: 'progress', done: 1, total: 2, images_per_second: 3}},
      finished,
    ]);
    expect(await outcome).toEqual({runtime: 'torch 2.13.0', device: 'cpu', deviceName: 'a CPU', bf16: false});
    expect(events.map(event => event.type)).toEqual(['hello', 'progress', 'finished']);
    expect(events[1]).toMatchObject({imagesPerSecond: 3});
  });

  it('finds its task in a file of its own folder, in snake_case', async () => {
    const {attempt, outcome} = await probe([hello, finished], {
      attempt: path.join(await temporaryFolder(), 'deep', 'probe'),
    });
    await outcome;
    expect(JSON.parse(readFileSync(path.join(attempt, 'probe.json'), 'utf8'))).toEqual({
      protocol: PROTOCOL,
      task: 'probe',
      device: 'cpu',
    });
  });

  it('may say more than is known: unknown events are ignored', async () => {
    const {events, outcome} = await probe([hello, {emit: {type: 'telepathy', thought: 1}}, {raw: '\n'}, finished]);
    await outcome;
    expect(events.map(event => event.type)).toEqual(['hello', 'finished']);
  });

  it('has all it prints kept in its log, beside that of earlier attempts', async () => {
    const {attempt, outcome} = await probe([hello, {print: 'first'}, {complain: 'a warning'}, finished]);
    await outcome;
    await (
      await probe([hello, {print: 'second'}, finished], {attempt})
    ).outcome;
    expect(readFileSync(path.join(attempt, 'trainer.log'), 'utf8').split('\n').sort()).toEqual([
      '',
      'a warning',
      'first',
      'second',
    ]);
  });
});

describe('a child that fails', () => {
  it.each([
    ['data', 65, 3],
    ['model', 65, 3],
    ['out-of-memory', 70, 4],
    ['device', 70, 4],
    ['disk-full', 70, 4],
    ['process-lost', 70, 4],
    ['diverged', 70, 5],
    ['gate', 65, 5],
    ['config', 64, 1],
    ['bug', 70, 1],
  ])(
    "for the reason %s ends the command with that reason's exit code, in its own words",
    async (reason, code, exitCode) => {
      const error = await childErrorOf([
        hello,
        {complain: 'Traceback'},
        {emit: {type: 'failed', reason, message: 'In its own words.'}},
        {exit: code},
      ]);
      expect(error.message).toBe('In its own words.');
      expect(exitCodeFor(error)).toBe(exitCode);
      // A stack is of use for a bug only.
      expect(error.logTail).toEqual(reason === 'bug' ? ['Traceback'] : []);
    },
  );

  it('is known by the code that it gave itself, which tells more than its reason', async () => {
    const error = await childErrorOf([
      hello,
      {emit: {type: 'failed', reason: 'data', code: 'UNREADABLE_SOURCE', message: 'No list.'}},
      {exit: 65},
    ]);
    expect([error.code, exitCodeFor(error)]).toEqual(['UNREADABLE_SOURCE', 3]);
  });

  it('killed by SIGKILL was probably out of memory, and the keys to lower are named', async () => {
    const error = await childErrorOf([hello, {kill: 'SIGKILL'}]);
    expect(error.message).toBe(
      'The trainer was killed by SIGKILL, probably because memory ran out. Lower train.batch_size or score.batch_size, or close other programs.',
    );
    expect(error).toMatchObject({exitCode: 4, killedBy: 'SIGKILL'});
  });

  it('killed by SIGKILL with a batch of its own is told half of it', async () => {
    const killed = [hello, {kill: 'SIGKILL'}];
    const options = {attempt: await temporaryFolder(), stop: stopSwitch().stop, onEvent: () => {}};
    const architecture: Architecture = {name: 'resnet50', stem: 'small', size: 32, resize: 32, classes: ['ant', 'bee']};
    const training = runChild<'speed'>(
      scripted(killed),
      {
        protocol: PROTOCOL,
        task: 'speed',
        device: 'cpu',
        threads: 1,
        seed: 0,
        architecture,
        batchSize: 96,
        precision: 'fp32',
      },
      options,
    );
    await expect(training).rejects.toMatchObject({
      exitCode: 4,
      message:
        'The trainer was killed by SIGKILL, probably because memory ran out. Set train.batch_size to 48, half of what it is, or close other programs.',
    });
    const comparing = runChild<'measure'>(
      scripted(killed),
      {
        protocol: PROTOCOL,
        task: 'measure',
        device: 'cpu',
        threads: 1,
        model: '/m.onnx',
        pack: '/pack',
        reference: null,
        batchSize: 32,
      },
      options,
    );
    await expect(comparing).rejects.toMatchObject({
      message: expect.stringContaining('Set score.batch_size to 16, half of what it is') as string,
    });
  });

  it('that Node ended for want of memory is told by that, and no picture is blamed', async () => {
    const error = await childErrorOf([
      hello,
      {complain: '# Fatal process OOM in Failed to reserve virtual memory for CodeRange'},
      ...Array.from({length: 30}, (_, frame) => ({complain: ` ${frame}: 0x1d5b578 [node]`})),
      {kill: 'SIGTRAP'},
    ]);
    expect(error).toMatchObject({exitCode: 4, killedBy: 'SIGTRAP', reason: 'out-of-memory'});
    expect(error.message).toBe(
      'The trainer got no more memory. Lower train.batch_size or score.batch_size, close other programs, or raise the limit where one is set (ulimit -v).',
    );
  });

  it('that crashes is told by its signal', async () => {
    const error = await childErrorOf([hello, {complain: 'free(): invalid pointer'}, {kill: 'SIGSEGV'}]);
    expect(error).toMatchObject({
      message: 'The trainer was killed by SIGSEGV.',
      exitCode: 1,
      killedBy: 'SIGSEGV',
      logTail: ['free(): invalid pointer'],
    });
  });

  it('without a word is shown by the last 20 lines of its log', async () => {
    const error = await childErrorOf([
      hello,
      ...Array.from({length: 30}, (_, line) => ({print: `line ${line}`})),
      {exit: 1},
    ]);
    expect(error.message).toBe('The trainer ended with exit code 1 and without a result.');
    expect(error.logTail).toEqual(Array.from({length: 20}, (_, line) => `line ${line + 10}`));
    expect(exitCodeFor(error)).toBe(1);
  });

  it('has not succeeded with exit code 0 alone, nor with `finished` alone', async () => {
    expect((await childErrorOf([hello])).message).toBe('The trainer ended with exit code 0 and without a result.');
    expect((await childErrorOf([hello, finished, {exit: 3}])).message).toBe(
      'The trainer ended with exit code 3 and without a result.',
    );
  });

  it('that is held up after its result is not waited for', async () => {
    const {outcome} = await probe([hello, finished, {hang: true}]);
    expect(await outcome).toMatchObject({device: 'cpu'});
  });

  it('may send what readline takes for ends of lines', async () => {
    const {events, outcome} = await probe([hello, note('one\u2028two\u2029three\u0085four'), finished]);
    await outcome;
    expect(events).toContainEqual({type: 'note', message: 'one\u2028two\u2029three\u0085four'});
  });

  it('has not succeeded with a result of another shape', async () => {
    const error = await childErrorOf([hello, {emit: {type: 'finished', result: {images: 3}}}]);
    expect(error.message).toContain('The trainer gave a result of the wrong shape for probe');
    expect(error.exitCode).toBe(1);
  });

  it('speaking another protocol is stopped at its hello', async () => {
    const {events, outcome} = await probe([{emit: {...(hello['emit'] as object), protocol: 2}}, {hang: true}]);
    await expect(outcome).rejects.toMatchObject({message: 'The trainer speaks protocol 2; expected 1.', exitCode: 1});
    expect(events).toEqual([]);
  });

  it.each([
    [
      'text among its events',
      {raw: 'Loading weights: 100%\n'},
      'The trainer sent a line that is no JSON: Loading weights: 100%.',
    ],
    [
      'a message nested without end',
      {raw: `{"type":"finished","result":${'['.repeat(5000)}${']'.repeat(5000)}}\n`},
      `The trainer sent a line that is nested too deeply: {"type":"finished","result":${'['.repeat(172)}.`,
    ],
    [
      'a known event of the wrong shape',
      {emit: {type: 'step', step: 1}},
      'The trainer sent a malformed event: {"type":"step","step":1}.',
    ],
  ])('with %s has a bug', async (_, step, message) => {
    const error = await childErrorOf([hello, step, finished]);
    expect(error).toMatchObject({message, exitCode: 1});
  });

  it('that ends before a word is an interpreter that cannot run it, and set-up mends it', async () => {
    const error = await childErrorOf([{complain: 'No module named trainer'}, {exit: 1}]);
    expect(error.message).toMatch(
      /does not run the trainer: it ended with exit code 1 before a word\. See pupil doctor, and mend it with npm run setup\.$/,
    );
    expect(error).toMatchObject({exitCode: 4, logTail: ['No module named trainer']});
  });

  it('that is not there is told as such', async () => {
    const error = await childErrorOf([], {command: {file: '/nowhere/python'}});
    expect(error.message).toMatch(/^The trainer could not be started: .*\/nowhere\/python/);
    expect(error.exitCode).toBe(4);
  });
});

describe('a stop', () => {
  it('asks the child to save, and is told as an interruption', async () => {
    const {stop, requested} = stopSwitch();
    const saved = note('saved');
    const {events, outcome} = await probe(
      [hello, {untilTerminated: true}, saved, {emit: {type: 'interrupted', message: 'Saved.'}}, {exit: 75}],
      {
        stop,
        onEvent: event => {
          events.push(event);
          if (event.type === 'hello') requested.abort(new Interrupted('SIGTERM'));
        },
      },
    );
    await expect(outcome).rejects.toMatchObject({name: 'Interrupted', signal: 'SIGTERM'});
    expect(events.map(event => event.type)).toEqual(['hello', 'note', 'interrupted']);
  });

  it('kills at once where it is forced, also a child that ignores SIGTERM', async () => {
    const {stop, requested, forced} = stopSwitch();
    let begun = 0;
    const error = await failureOf([{ignoreTerminate: true}, hello, {hang: true}], {
      stop,
      onEvent: () => {
        requested.abort(new Interrupted());
        begun = performance.now();
        setTimeout(() => forced.abort(), 200);
      },
    });
    expect(error).toBeInstanceOf(Interrupted);
    // A child that is asked only once has a minute.
    expect(performance.now() - begun).toBeLessThan(60_000);
  });

  it('that came before leaves the child unstarted', async () => {
    const {stop, requested} = stopSwitch();
    requested.abort(new Interrupted());
    const attempt = path.join(await temporaryFolder(), 'attempt');
    expect(await failureOf([hello, finished], {stop, attempt})).toBeInstanceOf(Interrupted);
    expect(existsSync(attempt)).toBe(false);
  });

  it('from outside, which reached the child alone, is an interruption as well', async () => {
    const error = await failureOf([hello, {emit: {type: 'interrupted', message: 'Saved.'}}, {exit: 75}]);
    expect(error).toMatchObject({name: 'Interrupted', signal: 'SIGTERM'});
  });

  it('is told by the exit code alone where several processes ended before they had met', async () => {
    expect(await failureOf([{exit: 75}])).toMatchObject({name: 'Interrupted', signal: 'SIGTERM'});
  });
});

describe('lines for a child', () => {
  const lines = function* (count: number, produced: {lines: number}) {
    for (let number = 0; number < count; number++) {
      produced.lines++;
      yield {number, place: `/a/folder/of/the/pool/${number}.png`};
    }
  };
  const predict = async (script: Step[], options: Pick<ChildOptions, 'lines'> & Partial<ChildOptions>) =>
    await runChild<'predict'>(
      scripted(script),
      {
        protocol: PROTOCOL,
        task: 'predict',
        model: '/m',
        device: 'cpu',
        threads: 1,
        top: 1,
        decoding: {
          size: 8,
          resize: 8,
          shrinkOnLoad: false,
          formats: ['png'],
          maxFileBytes: 1,
          maxPixels: 1,
          timeoutSeconds: 1,
        },
        precautions: {inHand: '/h', culprits: []},
      },
      {attempt: await temporaryFolder(), stop: stopSwitch().stop, onEvent: () => {}, ...options},
    );

  it('are made no faster than it reads: of 100,000 only what the pipe holds is ahead', async () => {
    const produced = {lines: 0};
    let ahead = 0;
    const result = await predict([hello, {sleep: 300}, note('now'), {readLines: true}], {
      lines: lines(100_000, produced),
      onEvent: event => event.type === 'note' && (ahead = produced.lines),
    });
    expect(result).toEqual({images: 100_000});
    // Pipes hold 64 KB here and a megabyte elsewhere; all lines together are five.
    expect(ahead).toBeLessThan(50_000);
  });

  it('are no longer made once it has ended, and its own reason is told', async () => {
    const produced = {lines: 0};
    const failing = predict([hello, {emit: {type: 'failed', reason: 'data', message: 'No.'}}, {exit: 65}], {
      lines: lines(Infinity, produced),
    });
    await expect(failing).rejects.toMatchObject({message: 'No.', exitCode: 3});
  });

  it('that cannot be made stop it, and their error comes out', async () => {
    const broken = function* () {
      yield {number: 0};
      throw new Error('the database is gone');
    };
    await expect(predict([hello, {hang: true}], {lines: broken()})).rejects.toThrow('the database is gone');
  });
});

it('kills a child that is not done within its limit, which is a fault of the data (exit 3)', async () => {
  const error = await failureOf([{ignoreTerminate: true}, hello, {hang: true}], {
    limit: {seconds: 0.1, message: 'model.onnx could not be taken in'},
  });
  expect(error).toMatchObject({message: 'model.onnx could not be taken in'});
  expect(exitCodeFor(error)).toBe(3);
});

it('stops the child where whoever listens throws, and that error comes out', async () => {
  const gate = new UserError('TOO_MANY_FAILURES', 'too many pictures failed');
  const {events, outcome} = await probe([hello, note('one'), {untilTerminated: true}, note('two'), {exit: 75}], {
    onEvent: event => {
      events.push(event);
      if (event.type === 'note') throw gate;
    },
  });
  await expect(outcome).rejects.toBe(gate);
  // It is not asked again.
  expect(events.map(event => event.type)).toEqual(['hello', 'note']);
});

it('stops the child where its log cannot be written (exit 4)', async () => {
  const attempt = await temporaryFolder();
  mkdirSync(path.join(attempt, 'trainer.log'));
  const error = await failureOf([hello, {hang: true}], {attempt});
  expect(error).toMatchObject({
    name: 'UserError',
    exitCode: 4,
    message: expect.stringContaining(`Cannot write ${attempt}/trainer.log (EISDIR`) as string,
  });
});
