/** Scores shards of images in the image worker, and gets past pictures that a decoder dies of. */
import {PROTOCOL, type ChildEvent, type Decoding, type Layout, type Quarantined, type ScoreShard, type TaskResult} from '../children/protocol.js';
import {classesKept} from '../config.js';
import {ChildError, gateError, Interrupted} from '../errors.js';
import {eachPart, type Emit, type Event, type StageName} from '../events.js';
import type {LocatedImage} from '../store/images.js';
import type {Shard} from '../store/shards.js';
import {runWorker, type RunContext} from './context.js';

export type Scored = TaskResult<'score'>;
export type ShardEvent = Extract<ChildEvent, {type: 'shard'}>;

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
  if (scorers.length === 1) return await scoreFrom(queue, {...context, device: scorers[0]!}, scoring);
  const failed = new AbortController();
  const stop = {...context.stop, requested: AbortSignal.any([context.stop.requested, failed.signal])};
  const emitOf = togetherProgress(context.emit);
  const ended = await Promise.allSettled(
    scorers.map(async (device, number) => {
      try {
        const part = `${scoring.part} worker ${number + 1}`.trim();
        return await scoreFrom(queue, {...context, device, stop, emit: emitOf(number, scoring.part)}, {...scoring, part});
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
 * Scores what is left in the queue in one worker after the other. Where a worker dies of a picture (a decoder that
 * crashes takes its process with it), its shards are done again, the first of them with each picture announced before it is opened and
 * after; the one that was open is set aside. What dies with no picture open died of something else, and comes out.
 */
async function scoreFrom(queue: Iterator<Pick<Shard, 'number' | 'images'>>, context: RunContext, scoring: Scoring): Promise<Scored> {
  const attempts: Scored[] = [];
  const taken = new Set<number>();
  const crashed: Crashed = new Map();
  // Of the shards that came, whatever became of the worker that they came from.
  const total = {shards: 0, images: 0};
  let seen = 0;
  let careful = false;
  for (;;) {
    const again = [...taken];
    const before = seen;
    // A new worker counts from 0.
    const emit: Emit = event => context.emit(event.type === 'progress' ? {...event, done: before + event.done} : event);
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
      const onDone = ({shard, rows, quarantined}: ShardEvent) => {
        taken.delete(shard);
        total.shards++;
        total.images += rows;
        seen += rows + quarantined.length;
      };
      attempts.push(await scoreOnce({...context, emit}, scoring, {shards: shards(), careful, crashed, onOpening: id => (opened = id), onDone}));
      if (!careful) return {...sumOf(attempts), ...total};
      careful = false;
    } catch (error) {
      const died = error instanceof ChildError && error.killedBy !== undefined && error.killedBy !== 'SIGKILL';
      if (!died || (careful && opened === null)) throw error;
      if (opened !== null) setAside(context, scoring, again[0]!, opened, error, crashed);
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

/** Throws (exit 5) once so many died that it can hardly be the pictures. */
function setAside({config, store, emit}: RunContext, {stage, shards}: Scoring, shard: number, id: string, {killedBy}: ChildError, crashed: Crashed): void {
  crashed.set(id, {id, shard, problem: {code: 'DECODER_CRASH', detail: `the decoder died of ${killedBy}`}});
  const place = store.images.byId(id)?.place ?? id;
  emit({type: 'warning', stage, message: `${place} crashed the decoder (${killedBy}); it is set aside.`});
  const images = shards.reduce((sum, {images}) => sum + images, 0);
  if (crashed.size > 1 && crashed.size > config.limits.max_failures * images) {
    throw gateError(
      `The image worker died of ${crashed.size} of ${images} pictures, more than --max-failures ${config.limits.max_failures} allows; the last one was ${place} (${killedBy}). ` +
        'If they open elsewhere, it is not the pictures: see pupil doctor. Else remove them, or raise --max-failures.',
    );
  }
}

interface Attempt {
  /** Each is taken when the worker is ready for it. */
  readonly shards: Iterable<number>;
  readonly careful: boolean;
  readonly crashed: Crashed;
  /** Null once it is closed again. */
  readonly onOpening: (id: string | null) => void;
  readonly onDone: (event: ShardEvent) => void;
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
    const whole = {...event, quarantined: [...event.quarantined, ...ofCrashes]};
    onDone(whole);
    onShard(whole);
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
