import {readFileSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {describe, expect, it, onTestFinished} from 'vitest';
import {openChild, type ChildOptions} from '../../src/children/child.js';
import {PROTOCOL} from '../../src/children/protocol.js';
import {openExecutor} from '../../src/children/executor.js';
import {Interrupted} from '../../src/errors.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const child = fileURLToPath(new URL('../fixtures/staying-child.mjs', import.meta.url));
type Order = {verb: string; text?: string};

/** A child that stays, and what gives it a task. */
function staying() {
  const open = openChild({
    name: 'worker',
    file: process.execPath,
    args: [child],
    env: {},
    cwd: process.cwd(),
    stays: true,
  });
  onTestFinished(open.close);
  const task = async (orders: Iterable<Order> = [], options: Partial<ChildOptions> = {}) => {
    const never = new AbortController().signal;
    const attempt = options.attempt ?? (await temporaryFolder());
    const {images} = await open.run<'thumbnails'>(
      {protocol: PROTOCOL, task: 'thumbnails', pack: '/pack', ids: [], size: 1, output: '/out'},
      {attempt, stop: {requested: never, forced: never}, onEvent: () => {}, lines: orders, ...options},
    );
    return images;
  };
  return {task, close: open.close};
}

describe('a child that stays', () => {
  it('does task after task in one process, each with a config and a log of its own', async () => {
    const {task} = staying();
    // A folder's name may hold what ends a line.
    const [first, second] = [path.join(await temporaryFolder(), 'a\nline'), await temporaryFolder()];
    const configs: string[] = [];
    const onEvent: ChildOptions['onEvent'] = event => event.type === 'hello' && configs.push(event.runtime);
    expect(await task([{verb: 'complain', text: 'one'}], {attempt: first, onEvent})).toBe(1);
    expect(await task([{verb: 'complain', text: 'two'}], {attempt: second, onEvent})).toBe(2);
    expect(configs).toEqual([path.join(first, 'thumbnails.json'), path.join(second, 'thumbnails.json')]);
    expect(readFileSync(path.join(first, 'worker.log'), 'utf8')).toBe('one\n');
    expect(readFileSync(path.join(second, 'worker.log'), 'utf8')).toBe('two\n');
  });

  it('and leaves after a task is started anew for the next', async () => {
    const {task} = staying();
    expect([await task(), await task([{verb: 'leave'}]), await task()]).toEqual([1, 2, 1]);
  });

  it('and dies between two tasks is started anew', async () => {
    const {task} = staying();
    expect(await task([{verb: 'die'}])).toBe(1);
    // Its death may be noticed a little later.
    await expect.poll(async () => await task().catch(() => null), {timeout: 600_000}).toBe(1);
  });

  it.each([
    ['fails', {verb: 'fail'}, 'No.'],
    ['crashes', {verb: 'crash'}, 'The worker was killed by SIGSEGV.'],
    ['gives a result of another shape', {verb: 'mistake'}, 'The worker gave a result of the wrong shape'],
  ])('and %s takes that task along, not the next', async (_, order, message) => {
    const {task} = staying();
    expect(await task()).toBe(1);
    await expect(task([order])).rejects.toThrow(message);
    expect(await task()).toBe(1);
  });

  it('is stopped where its lines cannot be made, and started anew for the next task', async () => {
    const {task} = staying();
    const broken = function* (): Generator<Order> {
      yield {verb: 'complain', text: 'one'};
      throw new Error('the database is gone');
    };
    await expect(task(broken())).rejects.toThrow('the database is gone');
    expect(await task()).toBe(1);
  });

  it('stops when that is asked for in one of its tasks', async () => {
    const {task} = staying();
    expect(await task()).toBe(1);
    const [requested, forced] = [new AbortController(), new AbortController()];
    const stopped = task([{verb: 'hang'}], {
      stop: {requested: requested.signal, forced: forced.signal},
      onEvent: event => event.type === 'hello' && requested.abort(new Interrupted('SIGTERM')),
    });
    await expect(stopped).rejects.toMatchObject({name: 'Interrupted'});
  });

  it('hears nothing of a stop that came when its task was done', async () => {
    const {task} = staying();
    const requested = new AbortController();
    expect(await task([], {stop: {requested: requested.signal, forced: new AbortController().signal}})).toBe(1);
    requested.abort(new Interrupted('SIGTERM'));
    expect(await task()).toBe(2);
  });

  it('does as many tasks as there are', async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on('warning', warn);
    onTestFinished(() => void process.off('warning', warn));
    const {task} = staying();
    for (let number = 1; number <= 30; number++) expect(await task()).toBe(number);
    expect(warnings).toEqual([]);
  });
});

describe('the image workers of a command', () => {
  it('are one process for tasks one after the other, and one each for tasks side by side', async () => {
    const executor = openExecutor();
    onTestFinished(executor.close);
    const never = new AbortController().signal;
    const children = () =>
      readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').match(/\d+/g) ?? [];
    const probe = async () => {
      const attempt = await temporaryFolder();
      await executor.run<'probe'>(
        {name: 'worker', threads: 1, device: 'cpu', python: null},
        {protocol: PROTOCOL, task: 'probe', device: 'cpu'},
        {attempt, stop: {requested: never, forced: never}, onEvent: () => {}},
      );
    };
    const before = children();
    await probe();
    await probe();
    expect(children()).toHaveLength(before.length + 1);
    await Promise.all([probe(), probe()]);
    expect(children()).toHaveLength(before.length + 2);
    await executor.close();
    expect(children()).toEqual(before);
  });
});
