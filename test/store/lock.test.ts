import {spawn, type ChildProcessWithoutNullStreams} from 'node:child_process';
import {once} from 'node:events';
import {mkdirSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {describe, expect, it, onTestFinished} from 'vitest';
import {isLocked, takeLock} from '../../src/store/lock.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const aLock = async () => path.join(await temporaryFolder(), 'db', 'run.lock');

/** Another process that holds a lock, until it is killed or for `ms`. */
async function holder(file: string, ms = 60_000): Promise<ChildProcessWithoutNullStreams> {
  const lock = new URL('../../dist/store/lock.js', import.meta.url).href;
  const script = `const {takeLock} = await import(${JSON.stringify(lock)}); const lock = takeLock(${JSON.stringify(file)}); console.log(lock === null ? 'refused' : 'held'); setTimeout(() => { lock.release(); process.exit(); }, ${ms});`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  expect(String(line)).toBe('held\n');
  return child;
}

describe('the lock of a run', () => {
  it('is had by one process at a time', async () => {
    const file = await aLock();
    const child = await holder(file);
    const seconds = [0, 0, 0].map(() => {
      const begun = performance.now();
      expect(takeLock(file)).toBe(null);
      return (performance.now() - begun) / 1000;
    });
    // It would wait for five seconds unless told not to. A machine may stop for so long, but hardly three times in a
    // row.
    expect(Math.min(...seconds)).toBeLessThan(4);
    expect(isLocked(file)).toBe(true);
    child.kill('SIGTERM');
    await once(child, 'exit');
    expect(isLocked(file)).toBe(false);
  });

  it('is freed by the kernel when its holder is killed with kill -9', async () => {
    const file = await aLock();
    const child = await holder(file);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const lock = takeLock(file);
    expect(lock).not.toBe(null);
    lock?.release();
  });

  it('is free again after its release', async () => {
    const file = await aLock();
    takeLock(file)?.release();
    expect(isLocked(file)).toBe(false);
    takeLock(file)?.release();
  });

  it('is waited for while somebody only looks whether it is held', async () => {
    // On a busy machine whoever looks may be held up for longer than one waits.
    const attempts = 10;
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const file = await aLock();
      await holder(file, 50);
      const lock = takeLock(file);
      lock?.release();
      if (lock !== null) return;
    }
    expect.unreachable(`It never waited in ${attempts} attempts.`);
  });

  it('that cannot be written is told with its folder (exit 4)', async () => {
    const folder = await temporaryFolder();
    writeFileSync(path.join(folder, 'db'), 'a file where a folder should be');
    expect(() => takeLock(path.join(folder, 'db', 'run.lock'))).toThrow(
      expect.objectContaining({
        exitCode: 4,
        message: expect.stringContaining(`Cannot write in ${folder}/db`) as string,
      }),
    );
    mkdirSync(path.join(folder, 'run.lock'));
    expect(() => takeLock(path.join(folder, 'run.lock'))).toThrow(expect.objectContaining({exitCode: 4}));
  });
});
