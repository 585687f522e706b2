import {expect, it} from 'vitest';
import {turns} from '../../src/worker/turns.js';

/** Work that runs until it is told to end, and says when it began. */
function work(name: string, log: string[]) {
  let end = () => {};
  const ended = new Promise<void>(resolve => (end = resolve));
  return {
    end,
    start: async () => {
      log.push(`${name} began`);
      await ended;
      log.push(`${name} ended`);
      return name;
    },
  };
}
const settle = () => new Promise(resolve => setImmediate(resolve));

it('what must be alone waits for all that runs, and all else for it', async () => {
  const log: string[] = [];
  const {beside, alone} = turns();
  const [a, b, c, d, e] = [work('a', log), work('b', log), work('c', log), work('d', log), work('e', log)] as const;
  const results = [beside(a.start), beside(b.start)];
  await settle();
  results.push(alone(c.start), alone(d.start), beside(e.start));
  for (const {end} of [b, e, a, c, d]) {
    end();
    await settle();
  }
  expect(await Promise.all(results)).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(log).toEqual([
    'a began',
    'b began',
    'b ended',
    'a ended',
    'c began',
    'c ended',
    'd began',
    'd ended',
    'e began',
    'e ended',
  ]);
});

it('goes on after work that fails', async () => {
  const {beside, alone} = turns();
  const fail = () => Promise.reject(new Error('broken'));
  const ended = await Promise.allSettled([
    beside(fail),
    alone(fail),
    beside(() => Promise.resolve(1)),
    alone(() => Promise.resolve(2)),
  ]);
  expect(ended.map(({status}) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled']);
});
