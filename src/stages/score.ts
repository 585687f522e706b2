/** Step 2a of the paper: the teacher scores every image of the pool, shard by shard; a shard that is done is never scored again. */
import {createHash} from 'node:crypto';
import {existsSync, readFileSync} from 'node:fs';
import {readdir, rm} from 'node:fs/promises';
import path from 'node:path';
import {z} from 'zod';
import {PROTOCOL, type ChildEvent, type Problem, type ScoreShard, type TaskResult} from '../children/protocol.js';
import {packageFolder} from '../children/python-env.js';
import {classesKept} from '../config.js';
import {ChildError, dataError} from '../errors.js';
import {hashFile, stampOf} from '../pipeline/stamp.js';
import type {Ingredients, Stage, StageResult} from '../pipeline/stage.js';
import type {Shard} from '../store/shards.js';
import {count, rate} from '../words.js';
import {decodingOf, runWorker, type RunContext} from './context.js';
import {teacherOnnx} from './export.js';
import {gateFailures} from './failures.js';

/** Another version of a library may round another way. Both are pinned to the digit in our own package.json. */
const libraryVersions = (): {onnxruntime: string; sharp: string} => {
  const pins = z.object({dependencies: z.object({'onnxruntime-node': z.string(), sharp: z.string()})}).parse(JSON.parse(readFileSync(path.join(packageFolder, 'package.json'), 'utf8'))).dependencies;
  return {onnxruntime: pins['onnxruntime-node'], sharp: pins.sharp};
};

export interface ScoreSummary {
  readonly images: number;
  readonly quarantined: number;
  readonly shards: number;
  readonly imagesPerSecond: number;
  readonly secondsDecoding: number;
  readonly secondsInferring: number;
}

export const score: Stage<RunContext> = {
  name: 'score',
  version: 1,
  reads: ['prepare.pool', 'prepare.classes', 'export.onnx'],
  ingredients(context): Ingredients {
    const {config, store} = context;
    const {size, resize, ...limits} = decodingOf(context);
    return {
      'score.batch_size': String(config.score.batch_size),
      'score.shard_size': String(config.score.shard_size),
      'image.size': `${size} of ${resize}`,
      limits: Object.values(limits).join(' '),
      'classes kept': String(classesKept(config, store.images.classes().length)),
      // Kernels differ between processors, so scores of both must not mix.
      provider: config.device.startsWith('cuda') ? 'cuda' : config.device,
      ...libraryVersions(),
    };
  },

  async run(context, ingredients): Promise<StageResult> {
    const {store, emit} = context;
    const fingerprint = createHash('sha256')
      .update(JSON.stringify({...ingredients, provider: context.device.split(':')[0]}))
      .digest('hex');
    const started = performance.now();
    store.atomically(() => store.shards.cut(context.config.score.shard_size));
    const todo = await unscoredShards(context, fingerprint);
    const all = store.shards.all();
    if (todo.length < all.length) emit({type: 'note', stage: 'score', message: `${count(all.length - todo.length)} of ${count(all.length)} shards are scored already`});
    const work = todo.length === 0 ? null : await scoreShards(context, todo, fingerprint);
    await removeOthers(context, all);
    const scored = store.shards.all().reduce((sum, shard) => sum + (shard.rows ?? 0), 0);
    if (scored === 0) throw dataError(`POOL_EMPTY: none of the ${count(store.images.poolSize())} unlabelled images could be decoded. See why with pupil status.`);
    const seconds = (performance.now() - started) / 1000;
    const summary: ScoreSummary = {
      images: scored,
      quarantined: store.quarantine.failures('score'),
      shards: all.length,
      imagesPerSecond: work === null ? 0 : work.images / seconds,
      secondsDecoding: work?.secondsDecoding ?? 0,
      secondsInferring: work?.secondsInferring ?? 0,
    };
    return {
      outputs: [{name: 'scores', files: all.map(shard => shardFile(context, shard.number))}],
      summary,
      headline: `${count(scored)} images scored${work === null ? '' : ` at ${rate(summary.imagesPerSecond)} images/s`}${summary.quarantined > 0 ? `, ${count(summary.quarantined)} set aside` : ''}`,
    };
  },
};

export const shardFile = ({paths}: Pick<RunContext, 'paths'>, number: number): string => path.join(paths.scores, `shard-${String(number).padStart(5, '0')}.parquet`);

/** Removes score files of an earlier cut of the pool: whoever reads the whole folder would count their images twice. */
async function removeOthers(context: RunContext, shards: readonly Shard[]): Promise<void> {
  const {scores} = context.paths;
  const kept = new Set(shards.map(shard => path.basename(shardFile(context, shard.number))));
  for (const name of existsSync(scores) ? await readdir(scores) : []) if (!kept.has(name)) await rm(path.join(scores, name), {recursive: true});
}

/** Shards that were never scored so, or whose file is no longer what was written. */
async function unscoredShards(context: RunContext, fingerprint: string): Promise<Shard[]> {
  const todo: Shard[] = [];
  for (const shard of context.store.shards.all()) {
    const file = shardFile(context, shard.number);
    const done = shard.fingerprint === fingerprint && (await stampOf(file)) !== null && (await hashFile(file, context.signal)) === shard.sha256;
    if (!done) todo.push(shard);
  }
  return todo;
}

/**
 * Scores shards in one worker. Where the worker dies of a picture (a decoder that crashes takes its process with it), the
 * shard in hand is done again with each picture announced before it is opened; the last one announced is set aside.
 */
async function scoreShards(context: RunContext, shards: readonly Shard[], fingerprint: string): Promise<TaskResult<'score'>> {
  const total = {shards: 0, images: 0, seconds: 0, secondsDecoding: 0, secondsInferring: 0};
  const done = new Set<number>();
  const poison: Poison = new Map();
  let careful = false;
  for (;;) {
    const todo = shards.filter(shard => !done.has(shard.number));
    let opened: string | null = null;
    try {
      // Only the shard that killed the worker needs the slow way.
      const result = await scoreOnce(context, careful ? todo.slice(0, 1) : todo, {fingerprint, careful, poison, onOpening: id => (opened = id), onDone: number => done.add(number)});
      for (const key of ['shards', 'images', 'seconds', 'secondsDecoding', 'secondsInferring'] as const) total[key] += result[key];
      if (done.size === shards.length) return total;
      careful = false;
    } catch (error) {
      const crashed = error instanceof ChildError && error.killedBy !== undefined && error.killedBy !== 'SIGKILL';
      if (!crashed || (careful && opened === null)) throw error;
      if (opened !== null) setAsideCrash(context, todo[0]!, opened, error.killedBy, poison);
      careful = true;
    }
  }
}

/** Images that a decoder died of, by id. */
type Poison = Map<string, {readonly shard: number; readonly problem: Problem}>;

function setAsideCrash({store, emit}: RunContext, shard: Shard, id: string, signal: string, poison: Poison): void {
  poison.set(id, {shard: shard.number, problem: {code: 'DECODER_CRASH', detail: `the decoder died of ${signal}`}});
  emit({type: 'warning', stage: 'score', message: `${store.images.byId(id)?.place ?? id} crashed the decoder (${signal}); it is set aside.`});
}

interface Attempt {
  readonly fingerprint: string;
  readonly careful: boolean;
  readonly poison: Poison;
  readonly onOpening: (id: string) => void;
  readonly onDone: (shard: number) => void;
}

async function scoreOnce(context: RunContext, shards: readonly Shard[], {fingerprint, careful, poison, onOpening, onDone}: Attempt): Promise<TaskResult<'score'>> {
  const {config, store, device, threads} = context;
  const classes = store.images.classes();
  const pool = store.images.poolSize();
  const descriptors = function* (): Generator<ScoreShard> {
    for (const shard of shards) {
      // Before anything of it is touched: what it vouched for no longer holds.
      store.shards.setUnscored(shard.number);
      const images = store.images.ofPool(shard.firstImage, shard.lastImage).filter(image => !poison.has(image.id));
      yield {
        shard: shard.number,
        output: shardFile(context, shard.number),
        images: images.map(({id, place, file, offset, length, encoding}) => ({id, place, file, offset, length, encoding})),
      };
    }
  };
  const onEvent = (event: ChildEvent) => {
    if (event.type === 'opening') onOpening(event.id);
    if (event.type !== 'shard') return;
    let example = '';
    store.atomically(() => {
      store.quarantine.forget('score', String(event.shard));
      const crashed = [...poison].filter(([, {shard}]) => shard === event.shard).map(([id, {problem}]) => ({id, problem}));
      for (const {id, problem} of [...event.quarantined, ...crashed]) {
        const place = store.images.byId(id)?.place ?? id;
        example = `${place}: ${problem.detail}`;
        store.quarantine.add('score', String(event.shard), {image: id, place, ...problem});
      }
      store.shards.setScored(event.shard, fingerprint, event.sha256, event.rows);
    });
    onDone(event.shard);
    if (event.rows > 0 || shards.length > 1) gateFailures(context, {stage: 'score', part: '%', of: pool, example});
  };
  return await runWorker<'score'>(
    context,
    {
      protocol: PROTOCOL,
      task: 'score',
      model: teacherOnnx(context),
      device,
      batchSize: config.score.batch_size,
      kept: classesKept(config, classes.length),
      classes,
      decoding: decodingOf(context),
      decodeThreads: threads,
      fingerprint,
      careful,
    },
    {stage: 'score', part: '', lines: descriptors(), onEvent},
  );
}
