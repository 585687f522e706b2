/** Scores shards of images in the image worker, and gets past pictures that a decoder dies of. */
import {PROTOCOL, type ChildEvent, type Decoding, type Layout, type Quarantined, type ScoreShard, type TaskResult} from '../children/protocol.js';
import {classesKept} from '../config.js';
import {ChildError, Interrupted} from '../errors.js';
import {eachPart, type Emit, type Event, type StageName} from '../events.js';
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

/** Scores shards on all of the context's scorers, side by side: whoever is done first takes the next one. One that fails stops the others. */
export async function scoreShards(context: RunContext, scoring: Scoring): Promise<Scored> {
  // No more workers than shards: the sample that a form is measured on is one.
  const scorers = context.scorers.slice(0, Math.max(1, scoring.shards.length));
  const queue = scoring.shards.values();
  if (scorers.length === 1) return sumOf(await scoreFrom(queue, {...context, device: scorers[0]!}, scoring));
  const failed = new AbortController();
  const stop = {...context.stop, requested: AbortSignal.any([context.stop.requested, failed.signal])};
  const emitOf = togetherProgress(context.emit);
  const ended = await Promise.allSettled(
    scorers.map(async (device, number) => {
      try {
        const part = `${scoring.part} worker ${number + 1}`.trim();
        return sumOf(await scoreFrom(queue, {...context, device, stop, emit: emitOf(number, scoring.part)}, {...scoring, part}));
      } catch (error) {
        failed.abort();
        throw error;
      }
    }),
  );
  const errors = ended.flatMap(end => (end.status === 'rejected' ? [end.reason as unknown] : []));
  // Those that were stopped because of it come second.
  if (errors.length > 0) throw errors.find(error => !(error instanceof Interrupted)) ?? errors[0];
  const results = ended.flatMap(end => (end.status === 'fulfilled' ? [end.value] : []));
  const {busy, ...total} = sumOf(results);
  const mean = eachPart(part => busy[part] / results.length);
  return {...total, seconds: Math.max(...results.map(({seconds}) => seconds)), busy: mean};
}

/**
 * Scores what is left in the queue in one worker after the other; returns what each did. Where a worker dies of a picture (a decoder that
 * crashes takes its process with it), its shards are done again, the first of them with each picture announced before it is opened; the
 * last one announced is set aside.
 */
async function scoreFrom(queue: Iterator<Pick<Shard, 'number' | 'images'>>, context: RunContext, scoring: Scoring): Promise<readonly Scored[]> {
  const attempts: Scored[] = [];
  const taken = new Set<number>();
  const crashed: Crashed = new Map();
  let careful = false;
  for (;;) {
    const again = [...taken];
    const shards = function* (): Generator<number> {
      // Only the shard that killed the worker needs the slow way.
      if (careful) return yield* again.slice(0, 1);
      yield* again;
      for (let next = queue.next(); !next.done; next = queue.next()) {
        taken.add(next.value.number);
        yield next.value.number;
      }
    };
    let opened: string | null = null;
    try {
      attempts.push(await scoreOnce(context, scoring, {shards: shards(), careful, crashed, onOpening: id => (opened = id), onDone: shard => taken.delete(shard)}));
      if (!careful) return attempts;
      careful = false;
    } catch (error) {
      const died = error instanceof ChildError && error.killedBy !== undefined && error.killedBy !== 'SIGKILL';
      if (!died || (careful && opened === null)) throw error;
      if (opened !== null) setAside(context, scoring.stage, again[0]!, opened, error.killedBy, crashed);
      careful = true;
    }
  }
}

function sumOf(attempts: readonly Scored[]): Scored {
  const sum = (figure: (attempt: Scored) => number) => attempts.reduce((total, attempt) => total + figure(attempt), 0);
  return {shards: sum(({shards}) => shards), images: sum(({images}) => images), seconds: sum(({seconds}) => seconds), busy: eachPart(part => sum(({busy}) => busy[part]))};
}

/** Makes of the progress of several workers one: an `emit` for each, under the part that they share. */
function togetherProgress(emit: Emit): (worker: number, part: string) => Emit {
  const latest = new Map<number, Event & {type: 'progress'}>();
  return (worker, part) => event => {
    if (event.type !== 'progress') {
      emit(event);
      return;
    }
    latest.set(worker, event);
    const all = [...latest.values()];
    const sum = (figure: (progress: Event & {type: 'progress'}) => number) => all.reduce((total, progress) => total + figure(progress), 0);
    emit({...event, part, done: sum(({done}) => done), imagesPerSecond: sum(({imagesPerSecond}) => imagesPerSecond), busy: eachPart(part => sum(({busy}) => busy?.[part] ?? 0) / all.length)});
  };
}

/** Images that a decoder died of, by id, with the shard that they are in. */
type Crashed = Map<string, Quarantined & {readonly shard: number}>;

function setAside({store, emit}: RunContext, stage: StageName, shard: number, id: string, signal: string, crashed: Crashed): void {
  crashed.set(id, {id, shard, problem: {code: 'DECODER_CRASH', detail: `the decoder died of ${signal}`}});
  emit({type: 'warning', stage, message: `${store.images.byId(id)?.place ?? id} crashed the decoder (${signal}); it is set aside.`});
}

interface Attempt {
  /** Each is taken when the worker is ready for it. */
  readonly shards: Iterable<number>;
  readonly careful: boolean;
  readonly crashed: Crashed;
  readonly onOpening: (id: string) => void;
  readonly onDone: (shard: number) => void;
}

async function scoreOnce(context: RunContext, {stage, part, model, decoding, layout, fingerprint, shards: all, describe, onShard}: Scoring, {shards, careful, crashed, onOpening, onDone}: Attempt): Promise<Scored> {
  const {config, store, device} = context;
  const classes = store.images.classes();
  const descriptors = function* (): Generator<ScoreShard> {
    for (const number of shards) {
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
      images: all.reduce((sum, {images}) => sum + images, 0),
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
