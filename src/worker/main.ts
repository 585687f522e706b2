/** The image worker's process edge: reads its task, runs it, and ends with one last event and an exit code. */
import {readFile} from 'node:fs/promises';
import sharp from 'sharp';
import {z} from 'zod';
import {fromWire, PROTOCOL, workerTask, type Json, type WorkerTask} from '../children/protocol.js';
import {onnxruntimePackage} from '../compiled-packages.js';
import {openEvents, type Emit} from './events.js';
import {describeFailure, exitCodes, WorkerFailure} from './failure.js';
import {NetworkOverLimit} from './network-limit.js';

const PARENT_CHECK_MS = 500;

const {version: onnxruntime} = z.object({version: z.string()}).parse(onnxruntimePackage());
const runtime = `node ${process.versions.node}, sharp ${sharp.versions.sharp} with libvips ${sharp.versions.vips}, onnxruntime-node ${onnxruntime}`;

async function readTask(path: string | undefined): Promise<WorkerTask> {
  if (path === undefined) throw new WorkerFailure('config', 'Expected the path of a config file as the only argument.');
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
async function runTask(task: WorkerTask, signal: AbortSignal, emit: Emit): Promise<Json> {
  switch (task.task) {
    case 'index':
      return await (await import('./index-sources.js')).indexSources(task, signal, emit);
    case 'pack':
      return await (await import('./pack-images.js')).packImages(task, signal, emit);
    case 'score':
      return await (await import('./score-shard.js')).scoreShards(task, signal, emit);
    case 'trial':
      return await (await import('./trial.js')).trial(task, signal);
    case 'measure':
      return await (await import('./measure.js')).measure(task, signal, emit);
    case 'predict':
      return await (await import('./predict.js')).predict(task, signal, emit);
    case 'decode':
      return await (await import('./decode-alone.js')).decodeAlone(task, signal);
    case 'thumbnails':
      return await (await import('./thumbnails.js')).drawThumbnails(task, signal);
    case 'draw':
      return await (await import('./draw-demo.js')).drawDemo(task, signal, emit);
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

/** Runs the task in the config file at `path` and returns the process's exit code. */
async function main(path: string | undefined, signal: AbortSignal, emit: Emit): Promise<number> {
  try {
    const task = await readTask(path);
    // There is no fallback: a session that does not run on the device that was asked for fails.
    await emit({type: 'hello', protocol: PROTOCOL, runtime, device: 'device' in task ? task.device : 'cpu'});
    await emit({type: 'finished', result: await runTask(task, signal, emit)});
    return exitCodes.finished;
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
process.exit(await main(process.argv[2], stop.signal, emit));
