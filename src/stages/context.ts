/** What the stages of a run work with: its config, paths and state, and what they may use of the machine. */
import {availableParallelism, hostname} from 'node:os';
import type {Stop} from '../children/child.js';
import type {Executor} from '../children/executor.js';
import {isCifar, type Decoding} from '../children/protocol.js';
import type {Processes} from '../children/trainer.js';
import {checkSizes, evaluationBatch, imageSizes} from '../config/rules.js';
import type {Config} from '../config/schema.js';
import type {Emit} from '../events.js';
import type {RunPaths} from '../home.js';
import type {SharingContext} from '../pipeline/sharing.js';
import type {Store} from '../store/open.js';
import {refuseForeignFolders} from './run-folders.js';
import {recogniseSources, type RunSource} from './sources.js';

/** Settings that change nothing of what a run comes to: how it is done, and when it is given up. */
export interface Handling {
  /** A share of the images. */
  readonly maxFailures: number;
  readonly layout: Pick<Config['score'], 'batch_size' | 'decode_threads' | 'networks' | 'network_threads'>;
  /** Images at once where networks are evaluated. */
  readonly evaluationBatch: number;
  readonly compile: boolean;
  readonly checkpointMinutes: number;
  readonly tensorboard: boolean;
}

export const handlingOf = (config: Config): Handling => ({
  maxFailures: config.limits.max_failures,
  layout: config.score,
  evaluationBatch: evaluationBatch(config),
  compile: config.train.compile,
  checkpointMinutes: config.train.checkpoint_minutes,
  tensorboard: config.train.tensorboard,
});

/** What a stage works with, besides its settings. */
export interface StageContext {
  readonly paths: RunPaths;
  readonly home: string;
  readonly store: Store;
  readonly stop: Stop;
  readonly signal: AbortSignal;
  readonly emit: Emit;
  /** Null while only looking. */
  readonly executor: Executor | null;
  /** The trainer's interpreter; null while only looking. */
  readonly python: string | null;
  /** `cpu` or `cuda:N`, already proved. */
  readonly device: string;
  readonly threads: number;
  /** Those that train together; one until the device is proved. */
  readonly processes: Processes;
  /** The devices on which scoring runs side by side, an image worker each; the device alone until it is proved. */
  readonly scorers: readonly string[];
  readonly handling: Handling;
}

/** All that is known of a run, out of which stages declare their settings. */
export interface RunContext extends StageContext, SharingContext {
  readonly config: Config;
  readonly sources: readonly RunSource[];
  /** Side of the network's input, and of the resized picture before the centre crop; pixels. */
  readonly size: number;
  readonly resize: number;
}

/** The same without what a stage has to declare. */
export const toolsOf = (context: RunContext): StageContext => {
  const {paths, home, store, stop, signal, emit, executor, python, device, threads, processes, scorers, handling} =
    context;
  return {paths, home, store, stop, signal, emit, executor, python, device, threads, processes, scorers, handling};
};

/** CPU threads for training and for decoding. */
export const threadsOf = (config: Config): number =>
  config.limits.threads === 'auto' ? availableParallelism() : config.limits.threads;

/**
 * The processes that train together, `gpus` being those that each host has for them; null where it works on its CPU.
 */
export function processesOf({train: {processes, hosts, address}}: Config, gpus: number | null): Processes {
  return {
    count: processes === 'auto' ? (gpus ?? 1) : processes,
    hosts,
    address: address === 'auto' ? `${hostname()}:29400` : address,
  };
}

/** How bytes become pixels in this run. */
export function decodingOf({config: {limits}, size, resize}: Pick<RunContext, 'config' | 'size' | 'resize'>): Decoding {
  return {
    size,
    resize,
    shrinkOnLoad: false,
    formats: limits.formats,
    maxFileBytes: limits.max_file_mb * 1_000_000,
    maxPixels: limits.max_megapixels * 1_000_000,
    timeoutSeconds: limits.decode_seconds,
  };
}

/** The context of a run before its device is proved; sources are recognised, nothing is started. */
export async function contextFor(
  config: Config,
  {paths, store, stop, emit, executor}: Pick<RunContext, 'paths' | 'store' | 'stop' | 'emit' | 'executor'>,
): Promise<RunContext> {
  const sources = await recogniseSources(config, paths, stop.requested);
  refuseForeignFolders(paths, config, sources);
  const labelled = sources.find(source => source.role === 'labelled');
  const {size, resize} = imageSizes(config, labelled !== undefined && isCifar(labelled.spec.kind));
  checkSizes(config, {size, resize});
  return {
    config,
    paths,
    home: paths.home,
    store,
    stop,
    signal: stop.requested,
    emit,
    executor,
    python: null,
    device: config.device,
    threads: threadsOf(config),
    processes: processesOf(config, null),
    scorers: [config.device],
    handling: handlingOf(config),
    sources,
    size,
    resize,
    makerOf: () => null,
  };
}
