/**
 * The image worker's process edge: runs the tasks that it is given on stdin, one after the other. What fails ends it,
 * with one last event and an exit code.
 */
import {readFile} from 'node:fs/promises';
import sharp from 'sharp';
import {z} from 'zod';
import {fromWire, PROTOCOL, workerTask, type Json, type WorkerTask} from '../children/protocol.js';
import {onnxruntimePackage} from '../compiled-packages.js';
import {failPointsOf} from '../files/fail-point.js';
import {openEvents, type Emit} from './events.js';
import {describeFailure, exitCodes, WorkerFailure} from './failure.js';
import {heldThreads} from './held-threads.js';
import {NetworkOverLimit} from './network-limit.js';
import {readOrders, type Orders} from './orders.js';
import type {TaskContext} from './task-context.js';

const PARENT_CHECK_MS = 500;

const {version: onnxruntime} = z.object({version: z.string()}).parse(onnxruntimePackage());
const runtime = `node ${process.versions.node}, sharp ${sharp.versions.sharp} with libvips ${sharp.versions.vips}, onnxruntime-node ${onnxruntime}`;

async function readTask(path: string): Promise<WorkerTask> {
  let config: unknown;
  try {
    config = fromWire(await readFile(path, 'utf8'));
  } catch (error) {
    throw new WorkerFailure('config', `${path} cannot be read as JSON.`, {cause: error});
  }
  const parsed = workerTask.safeParse(config);
  if (!parsed.success) throw new WorkerFailure('config', `${path} is refused: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** Each task's program is imported only when it is wanted: most need no onnxruntime, and drawing needs no decoder. */
async function runTask(task: WorkerTask, context: TaskContext): Promise<Json> {
  switch (task.task) {
    case 'index':
      return await (await import('./index-sources.js')).indexSources(task, context);
    case 'pack':
      return await (await import('./pack-images.js')).packImages(task, context);
    case 'score':
      return await (await import('./score-shard.js')).scoreShards(task, context);
    case 'trial':
      return await (await import('./trial.js')).trial(task, context);
    case 'measure':
      return await (await import('./measure.js')).measure(task, context);
    case 'predict':
      return await (await import('./predict.js')).predict(task, context);
    case 'decode':
      return await (await import('./decode-alone.js')).decodeAlone(task, context);
    case 'thumbnails':
      return await (await import('./thumbnails.js')).drawThumbnails(task, context);
    case 'draw':
      return await (await import('./draw-demo.js')).drawDemo(task, context);
    case 'probe':
      return await (await import('./probe.js')).probe(task);
  }
}

/** Tells a failure and returns its exit code. What was asked to stop has not failed, whatever it threw on the way. */
async function reportFailure(error: unknown, signal: AbortSignal, emit: Emit): Promise<number> {
  if (signal.aborted) {
    await emit({type: 'interrupted', message: 'Stopped; what is published stays.'});
    return exitCodes.interrupted;
  }
  const {exitCode, ...failure} = describeFailure(error);
  console.error(error);
  await emit({type: 'failed', ...failure});
  // An orderly end would wait for the threads in which a network or a decoder hangs.
  if (error instanceof NetworkOverLimit || failure.reason === 'stuck') dieAtOnce();
  return exitCode;
}

/** Runs one task after the other, until there are no more or one fails, and returns the process's exit code. */
async function main(orders: Orders, signal: AbortSignal, emit: Emit): Promise<number> {
  const {descriptors} = orders;
  try {
    for (;;) {
      const path = await orders.nextTask();
      if (path === null) return exitCodes.finished;
      failPointsOf(path);
      const task = await readTask(path);
      // There is no fallback: a session that does not run on the device that was asked for fails.
      await emit({type: 'hello', protocol: PROTOCOL, runtime, device: 'device' in task ? task.device : 'cpu'});
      const result = await runTask(task, {descriptors, signal, emit});
      await orders.finish();
      await emit({type: 'finished', result});
      // A thread that a picture holds would be missing in the next task.
      if (heldThreads.count > 0) return exitCodes.finished;
      await emit({type: 'ready'});
    }
  } catch (error) {
    return await reportFailure(error, signal, emit);
  }
}

const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
process.on('SIGINT', () => {}); // The terminal sends it to the whole group; the parent decides.

// Nobody is left to work for: nothing half done is ever published, so ending at once loses only time.
const dieAtOnce = () => process.kill(process.pid, 'SIGKILL');
const parent = process.ppid;
setInterval(() => process.ppid !== parent && dieAtOnce(), PARENT_CHECK_MS).unref();

const emit = openEvents(dieAtOnce);
process.on('uncaughtException', error => void reportFailure(error, stop.signal, emit).then(code => process.exit(code)));
process.exit(await main(readOrders(process.stdin, stop.signal), stop.signal, emit));
