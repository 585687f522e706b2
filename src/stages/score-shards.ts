/** Scores shards of images in the image worker, and gets past pictures that a decoder dies of. */
import {PROTOCOL, type ChildEvent, type Decoding, type Quarantined, type ScoreShard, type TaskResult} from '../children/protocol.js';
import {classesKept} from '../config.js';
import {ChildError} from '../errors.js';
import type {StageName} from '../events.js';
import type {LocatedImage} from '../store/images.js';
import {runWorker, type RunContext} from './context.js';

export type Scored = TaskResult<'score'>;
type ShardEvent = Extract<ChildEvent, {type: 'shard'}>;

export interface Scoring {
  readonly stage: StageName;
  /** Names the part where a stage scores several times. */
  readonly part: string;
  /** The ONNX file. */
  readonly model: string;
  readonly decoding: Decoding;
  readonly fingerprint: string;
  /** Numbers of the shards to score. */
  readonly shards: readonly number[];
  /** Makes a shard's descriptor, just before it is handed over. */
  readonly describe: (shard: number) => ScoreShard;
  /** A shard's file was published. `event.quarantined` holds the pictures that a decoder died of as well. */
  readonly onShard: (event: ShardEvent) => void;
}

export const scoreShardOf = (shard: number, output: string, images: readonly LocatedImage[]): ScoreShard => ({
  shard,
  output,
  images: images.map(({id, place, file, offset, length, encoding}) => ({id, place, file, offset, length, encoding})),
});

/**
 * Scores shards in one worker. Where the worker dies of a picture (a decoder that crashes takes its process with it), the
 * shard in hand is done again with each picture announced before it is opened; the last one announced is set aside.
 */
export async function scoreShards(context: RunContext, scoring: Scoring): Promise<Scored> {
  const total = {shards: 0, images: 0, seconds: 0, secondsDecoding: 0, secondsInferring: 0};
  const done = new Set<number>();
  const crashed: Crashed = new Map();
  let careful = false;
  for (;;) {
    const todo = scoring.shards.filter(shard => !done.has(shard));
    let opened: string | null = null;
    try {
      // Only the shard that killed the worker needs the slow way.
      const result = await scoreOnce(context, {...scoring, shards: careful ? todo.slice(0, 1) : todo}, {careful, crashed, onOpening: id => (opened = id), onDone: shard => done.add(shard)});
      for (const key of ['shards', 'images', 'seconds', 'secondsDecoding', 'secondsInferring'] as const) total[key] += result[key];
      if (done.size === scoring.shards.length) return total;
      careful = false;
    } catch (error) {
      const died = error instanceof ChildError && error.killedBy !== undefined && error.killedBy !== 'SIGKILL';
      if (!died || (careful && opened === null)) throw error;
      if (opened !== null) setAside(context, scoring.stage, todo[0]!, opened, error.killedBy, crashed);
      careful = true;
    }
  }
}

/** Images that a decoder died of, by id, with the shard that they are in. */
type Crashed = Map<string, Quarantined & {readonly shard: number}>;

function setAside({store, emit}: RunContext, stage: StageName, shard: number, id: string, signal: string, crashed: Crashed): void {
  crashed.set(id, {id, shard, problem: {code: 'DECODER_CRASH', detail: `the decoder died of ${signal}`}});
  emit({type: 'warning', stage, message: `${store.images.byId(id)?.place ?? id} crashed the decoder (${signal}); it is set aside.`});
}

interface Attempt {
  readonly careful: boolean;
  readonly crashed: Crashed;
  readonly onOpening: (id: string) => void;
  readonly onDone: (shard: number) => void;
}

async function scoreOnce(context: RunContext, {stage, part, model, decoding, fingerprint, shards, describe, onShard}: Scoring, {careful, crashed, onOpening, onDone}: Attempt): Promise<Scored> {
  const {config, store, device, threads} = context;
  const classes = store.images.classes();
  const descriptors = function* (): Generator<ScoreShard> {
    for (const shard of shards) {
      const described = describe(shard);
      yield {...described, images: described.images.filter(image => !crashed.has(image.id))};
    }
  };
  const onEvent = (event: ChildEvent) => {
    if (event.type === 'opening') onOpening(event.id);
    if (event.type !== 'shard') return;
    const ofCrashes = [...crashed.values()].filter(({shard}) => shard === event.shard).map(({id, problem}) => ({id, problem}));
    onDone(event.shard);
    onShard({...event, quarantined: [...event.quarantined, ...ofCrashes]});
  };
  return await runWorker<'score'>(
    context,
    {
      protocol: PROTOCOL,
      task: 'score',
      model,
      device,
      batchSize: config.score.batch_size,
      kept: classesKept(config, classes.length),
      classes,
      decoding,
      threads,
      fingerprint,
      careful,
    },
    {stage, part, lines: descriptors(), onEvent},
  );
}
