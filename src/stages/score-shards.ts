/** Scores shards of images in the image worker, and gets past pictures that a decoder dies of. */
import {PROTOCOL, type ChildEvent, type Decoding, type Layout, type Quarantined, type ScoreShard, type TaskResult} from '../children/protocol.js';
import {classesKept} from '../config.js';
import {ChildError} from '../errors.js';
import type {StageName} from '../events.js';
import type {LocatedImage} from '../store/images.js';
import type {Shard} from '../store/shards.js';
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
  readonly layout: Layout;
  readonly fingerprint: string;
  /** The shards to score, and how many images each holds. */
  readonly shards: readonly Pick<Shard, 'number' | 'images'>[];
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
  const attempts: Scored[] = [];
  const done = new Set<number>();
  const crashed: Crashed = new Map();
  let careful = false;
  for (;;) {
    const todo = scoring.shards.filter(({number}) => !done.has(number));
    let opened: string | null = null;
    try {
      // Only the shard that killed the worker needs the slow way.
      const result = await scoreOnce(context, {...scoring, shards: careful ? todo.slice(0, 1) : todo}, {careful, crashed, onOpening: id => (opened = id), onDone: shard => done.add(shard)});
      attempts.push(result);
      if (done.size === scoring.shards.length) return sumOf(attempts);
      careful = false;
    } catch (error) {
      const died = error instanceof ChildError && error.killedBy !== undefined && error.killedBy !== 'SIGKILL';
      if (!died || (careful && opened === null)) throw error;
      if (opened !== null) setAside(context, scoring.stage, todo[0]!.number, opened, error.killedBy, crashed);
      careful = true;
    }
  }
}

function sumOf(attempts: readonly Scored[]): Scored {
  const sum = (figure: (attempt: Scored) => number) => attempts.reduce((total, attempt) => total + figure(attempt), 0);
  const busy = {reading: sum(({busy}) => busy.reading), decoding: sum(({busy}) => busy.decoding), inferring: sum(({busy}) => busy.inferring), writing: sum(({busy}) => busy.writing)};
  return {shards: sum(({shards}) => shards), images: sum(({images}) => images), seconds: sum(({seconds}) => seconds), busy};
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

async function scoreOnce(context: RunContext, {stage, part, model, decoding, layout, fingerprint, shards, describe, onShard}: Scoring, {careful, crashed, onOpening, onDone}: Attempt): Promise<Scored> {
  const {config, store, device} = context;
  const classes = store.images.classes();
  const descriptors = function* (): Generator<ScoreShard> {
    for (const {number} of shards) {
      const described = describe(number);
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
      images: shards.reduce((sum, {images}) => sum + images, 0),
      layout,
      kept: classesKept(config, classes.length),
      classes,
      decoding,
      fingerprint,
      careful,
    },
    {stage, part, lines: descriptors(), onEvent},
  );
}
