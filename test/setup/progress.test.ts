import {writeFileSync} from 'node:fs';
import path from 'node:path';
import {afterEach, beforeEach, describe, expect, it, vi} from 'vitest';
import {showProgress, type Progress} from '../../scripts/setup/progress.mjs';
import {stepsOf} from '../../scripts/setup/steps.mjs';
import {temporaryFolder} from '../images/temporary-folder.js';

describe('set-up shows life', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** What was written in a minute in which two tasks ran. */
  const minuteOn = (terminal: {isTTY?: boolean; columns?: number}): string[] => {
    const written: string[] = [];
    const progress = showProgress({...terminal, write: text => written.push(text)});
    progress.begin('Node packages');
    progress.begin('Python environment');
    progress.doing('Python environment', 'downloading torch-2.13.0 (190.1 MB)');
    vi.advanceTimersByTime(60_000);
    progress.done('Node packages');
    progress.done('Python environment');
    progress.end();
    vi.advanceTimersByTime(60_000);
    return written;
  };

  it('by a plain line every fifteen seconds where there is no terminal', () => {
    const doing = 'Node packages | Python environment (downloading torch-2.13.0 (190.1 MB))\n';
    expect(minuteOn({})).toEqual(['0:15', '0:30', '0:45', '1:00'].map(elapsed => `setup: ${elapsed} ${doing}`));
  });

  it('by one line redrawn every second on a terminal, never wider than it, and gone at the end', () => {
    const written = minuteOn({isTTY: true, columns: 60});
    const lines = written.filter(text => text.startsWith('setup:'));
    expect(lines).toHaveLength(60);
    expect(lines.every(line => line.length < 60 && !line.includes('\n'))).toBe(true);
    expect(lines[59]).toBe('setup: 1:00 Node packages | Python environment (downloading');
    expect(written.at(-1)).toBe('\r\x1b[K');
  });
});

it("takes npm's and pip's words for what is being done, and leaves npm's chatter out of a failure", async () => {
  const folder = await temporaryFolder();
  const said = path.join(folder, 'said');
  writeFileSync(
    said,
    `npm http fetch GET 200 https://registry.npmjs.org/zod/-/zod-4.4.0.tgz 45ms (cache miss)
npm info run better-sqlite3@12.11.1 install node_modules/better-sqlite3 prebuild-install || node-gyp rebuild --release
npm info run better-sqlite3@12.11.1 install { code: 1, signal: null }
Collecting torch==2.13.0
  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (190.1 MB)
Installing collected packages: numpy, torch
gyp ERR! no compiler
`,
  );
  const actions: string[] = [];
  const progress: Progress = {
    say: () => {},
    begin: () => {},
    doing: (_, action) => void actions.push(action),
    done: () => {},
    end: () => {},
  };
  const {step} = stepsOf({progress});
  const failing = step(path.join(folder, 'stamp'), 'key', 'Node packages', ({run}) =>
    run('sh', ['-c', `cat ${said}; exit 1`], {mend: 'have a compiler'}),
  );
  await expect(failing).rejects.toThrow(
    /^sh -c .* failed\.\nCollecting torch[^]*gyp ERR! no compiler\nTo mend it: have a compiler$/,
  );
  expect(actions).toEqual([
    'fetched zod-4.4.0',
    'building better-sqlite3',
    'collecting torch==2.13.0',
    'downloading torch-2.13.0 (190.1 MB)',
    'installing collected packages',
  ]);
});
