import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {writeFile} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import {describe, expect, it} from 'vitest';
import {networkLimit} from '../../src/worker/network-limit.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const endless = fileURLToPath(new URL('../fixtures/onnx/foreign-endless-32.onnx', import.meta.url));
const session = new URL('../../dist/worker/session.js', import.meta.url).href;

/**
 * What a network with a loop without an end comes to under a limit. In a process of its own: its thread cannot be
 * stopped.
 */
async function outcomeUnder(limit: string): Promise<string> {
  const program = `
    import {openSession} from ${JSON.stringify(session)};
    try {
      const session = await openSession(${JSON.stringify(endless)}, 'cpu', {batchSize: 1, networks: 1, networkThreads: 1}, () => (${limit}));
      const answers = await session.run(new Uint8Array(32 * 32 * 3)).finally(() => session.close());
      process.stdout.write('answered ' + answers.logProbs.length);
    } catch (error) {
      process.stdout.write(error.constructor.name + ', ' + error.reason + ': ' + error.message, () => process.kill(process.pid, 'SIGKILL'));
    }`;
  const file = `${await temporaryFolder()}/open.mjs`;
  await writeFile(file, program);
  const child = spawn(process.execPath, [file], {stdio: ['ignore', 'pipe', 'inherit']});
  let said = '';
  child.stdout.on('data', chunk => (said += String(chunk)));
  await once(child, 'close');
  return said;
}

describe('a network that never ends', () => {
  it('is stopped where no answer comes, and that is a fault of the model', async () => {
    expect(await outcomeUnder('{seconds: 2, bytes: Infinity}')).toMatch(
      /^NetworkOverLimit, model: The network gave no answer within 2 seconds: it is stopped as a network that never ends, or inflates\./,
    );
  });

  it('is stopped where it fills more memory than it may', async () => {
    expect(await outcomeUnder('{seconds: Infinity, bytes: 400e6}')).toMatch(
      /^NetworkOverLimit, model: The network fills 0\.\d GB of memory, more than the 0\.4 GB that it may/,
    );
  });
});

it('a network has minutes and gigabytes, and more of both the larger it and its batches are', () => {
  const small = networkLimit(1000, 32, {batchSize: 1, networks: 1});
  expect(small.seconds).toBeGreaterThan(600);
  expect(small.bytes).toBeGreaterThan(3e9);
  const large = networkLimit(1.6e9, 224, {batchSize: 64, networks: 2});
  expect(large.seconds).toBeGreaterThan(small.seconds + 64);
  expect(large.bytes).toBeGreaterThan(small.bytes + 2 * 1.6e9);
});
