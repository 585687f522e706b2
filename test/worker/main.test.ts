import {execFileSync, spawn, spawnSync} from 'node:child_process';
import {createHash} from 'node:crypto';
import {once} from 'node:events';
import {readFileSync} from 'node:fs';
import {mkdir, writeFile} from 'node:fs/promises';
import type {Readable} from 'node:stream';
import {fileURLToPath} from 'node:url';
import {describe, expect, it, onTestFinished, vi} from 'vitest';
import {toWire} from '../../src/children/protocol.js';
import {png, put} from '../images/pictures.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {listedBy} from './pools.js';
import {decoding, eventsOf, resultOf, runWorker, startWorker} from './worker-process.js';

const program = fileURLToPath(new URL('../../dist/worker/main.js', import.meta.url));
const model = fileURLToPath(new URL('../fixtures/onnx/classifier-32.onnx', import.meta.url));
const score = {
  task: 'score',
  model,
  device: 'cpu',
  images: 0,
  layout: {batchSize: 4, decodeThreads: 2, networks: 1, networkThreads: 2},
  kept: 4,
  classes: ['ant', 'bee', 'cat', 'dog', 'elk', 'fox'],
  decoding,
  fingerprint: 'f',
};
const namespace = ['--map-root-user', '--mount'];
const canMount = spawnSync('unshare', [...namespace, 'sh', '-c', 'mount -t tmpfs tmpfs /mnt']).status === 0;
if (!canMount) console.warn('SKIPPED: a full disk needs a namespace of its own, which this machine does not give.');
const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

describe('the worker', () => {
  it('says hello first, then exactly one last event', async () => {
    const {events, exitCode} = await runWorker({task: 'probe', device: 'cpu'});
    expect(events.map(({type}) => type)).toEqual(['hello', 'finished']);
    expect(events[0]).toMatchObject({
      protocol: 1,
      device: 'cpu',
      runtime: expect.stringMatching(/^node .*sharp .*libvips .*onnxruntime-node /),
    });
    expect(exitCode).toBe(0);
  });

  it.each([
    ['another protocol', {task: 'probe', device: 'cpu', protocol: 2}],
    ['an unknown task', {task: 'dance'}],
    ['an unknown key', {task: 'probe', device: 'cpu', speed: 1}],
    ['a missing key', {task: 'probe'}],
    ['a device that is none', {task: 'probe', device: 'gpu'}],
  ])('refuses a config with %s', async (_, task) => {
    const {events, exitCode} = await runWorker(task);
    expect(events).toMatchObject([{type: 'failed', reason: 'config'}]);
    expect(exitCode).toBe(64);
  });

  it('proves the CPU by a run and names it', async () => {
    const {result} = await resultOf('probe', {device: 'cpu'});
    expect(result).toMatchObject({device: 'cpu', bf16: false, runtime: expect.stringMatching(/^onnxruntime-node \d/)});
    expect(result.deviceName.length).toBeGreaterThan(2);
  });

  it('proves that a GPU which is not there does not work', async () => {
    const {events, exitCode} = await runWorker({task: 'probe', device: 'cuda:99'});
    expect(events.at(-1)).toMatchObject({
      type: 'failed',
      reason: 'device',
      message: expect.stringContaining('cuda:99'),
    });
    expect(exitCode).toBe(70);
  });

  it('stops on SIGTERM with exit 75, while it waits for more to do as well', async () => {
    const running = await startWorker(score, null);
    await running.event('hello');
    await sleep(300);
    running.child.kill('SIGTERM');
    const {events, exitCode} = await running.ended;
    expect(events.at(-1)).toMatchObject({type: 'interrupted'});
    expect(exitCode).toBe(75);
  });

  it('takes no notice of SIGINT', async () => {
    const running = await startWorker(score, null);
    await running.event('hello');
    running.child.kill('SIGINT');
    await sleep(200);
    expect(running.child.exitCode).toBeNull();
    running.child.stdin?.end('\n');
    expect((await running.ended).events.at(-1)).toMatchObject({type: 'finished', result: {shards: 0}});
  });

  it('dies with its parent', async () => {
    const folder = await temporaryFolder();
    await writeFile(`${folder}/config.json`, toWire({protocol: 1, ...score}));
    // The other end of the worker's stdin, which stays open when its parent is killed: it must notice that by itself.
    const keeper = spawn('sh', ['-c', `echo '"${folder}/config.json"'; exec sleep 1000`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    onTestFinished(() => void keeper.kill());
    const parent = spawn(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `
      import {spawn} from 'node:child_process';
      const child = spawn(process.execPath, [${JSON.stringify(program)}], {stdio: ['inherit', 'inherit', 'inherit', 'inherit']});
      console.log(child.pid);
      setInterval(() => {}, 1000);
    `,
      ],
      {stdio: [keeper.stdout, 'pipe', 'inherit', 'pipe']},
    );
    const [line] = await once(parent.stdout!, 'data');
    const pid = Number(String(line));
    await once(parent.stdio[3] as Readable, 'data'); // It said hello: whose child it is, it knows by now.
    const isAlive = () => {
      try {
        return !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8')); // A zombie is not alive.
      } catch {
        return false;
      }
    };
    expect(isAlive()).toBe(true);
    parent.kill('SIGKILL');
    await vi.waitUntil(() => !isAlive(), {timeout: 600_000});
  });

  it('reports progress at most once a second', async () => {
    const root = await temporaryFolder();
    for (let i = 0; i < 400; i++) await put(`${root}/pool/${i}.png`, await png(i));
    const begun = performance.now();
    const {ended} = await listedBy({sources: [{kind: 'folder', path: `${root}/pool`, split: null, labelled: false}]});
    // However long it took here: from its start, and one at its end.
    expect(eventsOf(ended, 'progress').length).toBeLessThanOrEqual(2 + (performance.now() - begun) / 1000);
  });

  it.skipIf(!canMount)('names a full disk, and leaves no half file', async () => {
    const root = await temporaryFolder();
    await mkdir(`${root}/full`);
    await put(
      `${root}/config.json`,
      toWire({
        protocol: 1,
        task: 'pack',
        packs: [{output: `${root}/full/pack`, size: 512}],
        decoding: {...decoding, size: 512, resize: 512},
        precautions: {inHand: `${root}/in-hand.json`, culprits: []},
        threads: 2,
        classes: ['a'],
        kept: 0,
        heldOut: [],
      }),
    );
    await put(`${root}/1.png`, await png(1));
    const id = createHash('sha256')
      .update(await png(1))
      .digest('hex')
      .slice(0, 24);
    const item = {
      id,
      place: 'x',
      file: `${root}/1.png`,
      offset: null,
      length: null,
      encoding: 'encoded',
      pack: 0,
      labels: [0],
      answers: null,
    };
    const inSmallDisk = `mount -t tmpfs -o size=1m tmpfs ${root}/full && node ${program} 3>&1 >&2; ls -A ${root}/full`;
    const out = execFileSync('unshare', [...namespace, 'sh', '-c', inSmallDisk], {
      input: `"${root}/config.json"\n${`${toWire(item)}\n`.repeat(20)}\n`,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const last = out.trim().split('\n').at(-1);
    expect(last).toMatch(/"reason":"disk-full","message":"The disk is full: .*full\/pack \(0 B free\)/);
  });
});
