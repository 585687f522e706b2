import {setTimeout as sleep} from 'node:timers/promises';
import {describe, expect, it} from 'vitest';
import {timeLimit, tooLate} from '../../src/worker/time-limit.js';

describe('a time limit', () => {
  it('lets whoever waits go on once it is over, and passes on what ends or fails before', async () => {
    const limit = timeLimit(0.5);
    const work = [new Promise(() => {}), Promise.resolve('done'), Promise.reject(new Error('broken'))];
    const ended = await Promise.allSettled(work.map(limit.within));
    limit.close();
    expect(ended).toMatchObject([{value: tooLate}, {value: 'done'}, {reason: {message: 'broken'}}]);
  });

  it('stands still while the main thread is busy', async () => {
    const limit = timeLimit(0.5);
    const ended = limit.within(sleep(700, 'done'));
    for (const begun = performance.now(); performance.now() - begun < 1500;);
    expect(await ended).toBe('done');
    limit.close();
  });
});
