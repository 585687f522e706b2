/** Hands shards out to be scored, to one image worker or to several side by side; see src/worker/score-shard.ts. */
import {
  PROTOCOL,
  type ChildEvent,
  type Culprit,
  type Decoding,
  type ImageReference,
  type Layout,
  type ScoreShard,
  type TaskResult,
} from '../children/protocol.js';
import {Interrupted} from '../errors.js';
import {eachPart, type Emit, type Event, type StageName} from '../events.js';
import type {LocatedImage} from '../store/images.js';
import type {Shard} from '../store/shards.js';
import type {StageContext} from './context.js';
import {runDecoder} from './tasks.js';
import {gateCulprits} from './failures.js';

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
  /** Classes of each image. */
  readonly kept: number;
  readonly fingerprint: string;
  /** The shards to score, and how many images each holds. */
  readonly shards: readonly Pick<Shard, 'number' | 'images'>[];
  /** Makes a shard's descriptor, just before it is handed over. */
  readonly describe: (shard: number) => Promise<ScoreShard>;
  /** A shard's file was published. `placeOf` tells where its images lie, by their ids. */
  readonly onShard: (event: ShardEvent, placeOf: (id: string) => string) => void;
}

export const scoreShardOf = (shard: number, output: string, images: readonly LocatedImage[]): ScoreShard => ({
  shard,
  output,
  images: images.map(({id, place, file, offset, length, encoding}) => ({id, place, file, offset, length, encoding})),
});

/**
 * Scores shards on all of the context's scorers, side by side: whoever is done first takes the next one. One that fails
 * stops the others.
 */
export async function handOutShards(context: StageContext, scoring: Scoring): Promise<Scored> {
  // No more workers than shards: the sample that a form is measured on is one.
  const scorers = context.scorers.slice(0, Math.max(1, scoring.shards.length));
  const queue = scoring.shards.values();
  const images = scoring.shards.reduce((sum, shard) => sum + shard.images, 0);
  const inHand = new Map<number, ScoreShard>();
  const imageOf = (id: string) => {
    for (const shard of inHand.values()) for (const image of shard.images) if (image.id === id) return image;
    return null;
  };
  const onCulprit = gateCulprits(context, {stage: scoring.stage, of: images, placeOf: id => imageOf(id)?.place ?? id});
  const share = {...scoring, images, inHand, imageOf, onCulprit};
  if (scorers.length === 1) return await scoreFrom(queue, {...context, device: scorers[0]!}, share);
  const failed = new AbortController();
  const stop = {...context.stop, requested: AbortSignal.any([context.stop.requested, failed.signal])};
  const emitOf = togetherProgress(context.emit);
  const ended = await Promise.allSettled(
    scorers.map(async (device, number) => {
      try {
        const part = `${scoring.part} worker ${number + 1}`.trim();
        return await scoreFrom(queue, {...context, device, stop, emit: emitOf(number, scoring.part)}, {...share, part});
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

/** One worker's part in a scoring: what it shares with the others, whatever process it is by now. */
interface Share extends Scoring {
  /** Of all shards together. */
  readonly images: number;
  /** Shards that were handed out and did not come back, by number. */
  readonly inHand: Map<number, ScoreShard>;
  readonly imageOf: (id: string) => ImageReference | null;
  readonly onCulprit: (culprit: Culprit) => void;
}

/**
 * Scores what is left in the queue in one worker, and where a picture stops that in another, which takes its unfinished
 * shards over.
 */
async function scoreFrom(
  queue: Iterator<Pick<Shard, 'number' | 'images'>>,
  context: StageContext,
  share: Share,
): Promise<Scored> {
  const {stage, part, model, decoding, layout, kept, fingerprint, images, describe, onShard} = share;
  const {inHand, imageOf, onCulprit} = share;
  const {store, device} = context;
  const classes = store.images.classes();
  const taken = new Set<number>();
  // Of the shards that came, whatever became of the worker that they came from.
  const total = {shards: 0, images: 0};
  let [seen, seenBefore] = [0, 0];
  // A new worker counts from 0.
  const emit: Emit = event =>
    context.emit(event.type === 'progress' ? {...event, done: seenBefore + event.done} : event);
  const described = async (number: number): Promise<ScoreShard> => {
    const shard = await describe(number);
    inHand.set(number, shard);
    return shard;
  };
  const lines = async function* (): AsyncGenerator<ScoreShard> {
    seenBefore = seen;
    for (const number of [...taken]) yield await described(number);
    for (let next = queue.next(); !next.done; next = queue.next()) {
      taken.add(next.value.number);
      yield await described(next.value.number);
    }
  };
  const onEvent = (event: ChildEvent) => {
    if (event.type !== 'shard') return;
    taken.delete(event.shard);
    total.shards++;
    total.images += event.rows;
    seen += event.rows + event.quarantined.length;
    onShard(event, id => imageOf(id)?.place ?? id);
    inHand.delete(event.shard);
  };
  const scored = await runDecoder<'score'>(
    {...context, emit},
    precautions => ({
      protocol: PROTOCOL,
      task: 'score',
      model,
      device,
      images,
      layout,
      kept,
      classes,
      decoding,
      precautions,
      fingerprint,
    }),
    {stage, part, decoding, lines, onEvent, onCulprit, pictureOf: imageOf},
  );
  return {...scored, ...total};
}

function sumOf(attempts: readonly Scored[]): Scored {
  const sum = (figure: (attempt: Scored) => number) => attempts.reduce((total, attempt) => total + figure(attempt), 0);
  return {
    shards: sum(({shards}) => shards),
    images: sum(({images}) => images),
    seconds: sum(({seconds}) => seconds),
    busy: eachPart(part => sum(({busy}) => busy[part])),
  };
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
    const sum = (figure: (progress: Event & {type: 'progress'}) => number) =>
      all.reduce((total, progress) => total + figure(progress), 0);
    emit({
      ...event,
      part,
      done: sum(({done}) => done),
      imagesPerSecond: sum(({imagesPerSecond}) => imagesPerSecond),
      busy: eachPart(part => sum(({busy}) => busy?.[part] ?? 0) / all.length),
    });
  };
}
