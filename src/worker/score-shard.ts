/**
 * The `score` task: each shard named on stdin becomes one Parquet file of top classes and log-probabilities.
 *
 * Decoding (thread pool) and inference (a thread of its own) overlap. Memory is bounded by the batch size: decoded images wait for a
 * batch, batches wait for the network, and nothing is read while both are full. A score depends on its image alone, not on when it was
 * decoded or what else lay in its batch: every batch has the same shape, the last one of a shard is padded.
 */
import {scoreShard, type ImageReference, type Quarantined, type ScoreShard, type TaskOf, type TaskResult} from '../children/protocol.js';
import {writeScores} from '../images/score-file.js';
import {decodeAhead, type ImagePlace} from './decode-ahead.js';
import {readDescriptors} from './descriptors.js';
import {trackProgress, type Emit} from './events.js';
import {WorkerFailure} from './failure.js';
import {checkDecoding, matchClasses, openSession, type Answers} from './session.js';

const CHANNELS = 3;
/** One in the network, one ready for it. */
const BATCHES_IN_FLIGHT = 2;

/** A shard that is being scored: rows so far, in the shard's order less the quarantined. */
interface ShardInHand {
  shard: ScoreShard;
  /** Images whose decoding is still to come. */
  undecoded: number;
  images: string[];
  places: string[];
  /** Column k: the k-th best class of each row. */
  classes: Int32Array[];
  logProbs: Float32Array[];
  quarantined: Quarantined[];
  /** Ends with the last of its batches so far. */
  answered: Promise<void>;
}

const begin = (shard: ScoreShard, kept: number): ShardInHand => ({
  shard,
  undecoded: shard.images.length,
  images: [],
  places: [],
  classes: Array.from({length: kept}, () => new Int32Array(shard.images.length)),
  logProbs: Array.from({length: kept}, () => new Float32Array(shard.images.length)),
  quarantined: [],
  answered: Promise.resolve(),
});

/** Adds the answers to one batch. A row with a NaN or an infinity is quarantined: neither can be ranked. */
function addRows(hand: ShardInHand, batch: readonly ImageReference[], {logProbs, classes}: Answers, modelKept: number, classIndex: Int32Array): void {
  batch.forEach(({id, place}, i) => {
    const scores = logProbs.subarray(i * modelKept, i * modelKept + hand.logProbs.length);
    const bad = scores.find(score => !Number.isFinite(score));
    if (bad !== undefined) {
      hand.quarantined.push({id, problem: {code: 'BAD_SCORE', detail: `the network answered ${bad}`}});
      return;
    }
    const row = hand.images.push(id) - 1;
    hand.places.push(place);
    hand.logProbs.forEach((column, k) => {
      const index = classIndex[classes[i * modelKept + k] ?? -1];
      if (index === undefined) throw new WorkerFailure('model', `The network answered class ${classes[i * modelKept + k]} of ${classIndex.length}.`);
      column[row] = scores[k] ?? NaN;
      const classColumn = hand.classes[k];
      if (classColumn !== undefined) classColumn[row] = index;
    });
  });
}

/** Scores every shard named on stdin, in order; each is published whole and told by a `shard` event. */
export async function scoreShards(task: TaskOf<'score'>, signal: AbortSignal, emit: Emit): Promise<TaskResult<'score'>> {
  const begun = performance.now();
  const session = await openSession(task.model, task);
  try {
    const {model} = session;
    checkDecoding(model, task.decoding);
    if (model.kept < task.kept) throw new WorkerFailure('model', `The model keeps ${model.kept} classes an image; the task wants ${task.kept}.`);
    const classIndex = matchClasses(model.classes, task.classes);
    const imageBytes = model.size * model.size * CHANNELS;

    const count = trackProgress(emit, null);
    const decoding = {seconds: 0};
    const totals = {shards: 0, images: 0};
    const spare: Uint8Array<ArrayBuffer>[] = [];
    const inFlight: Promise<void>[] = [];
    let batch: {images: ImageReference[]; pixels: Uint8Array<ArrayBuffer>} = {images: [], pixels: new Uint8Array(task.batchSize * imageBytes)};
    let publishing = Promise.resolve();

    async function infer(hand: ShardInHand): Promise<void> {
      const {images, pixels} = batch;
      if (images.length === 0) return;
      pixels.fill(0, images.length * imageBytes);
      const answered = session.run(pixels).then(async answers => {
        spare.push(answers.pixels);
        addRows(hand, images, answers, model.kept, classIndex);
        await count(images.length);
      });
      answered.catch(() => {}); // Awaited below or in publish(); until then its failure is nobody's.
      hand.answered = answered;
      inFlight.push(answered);
      if (inFlight.length >= BATCHES_IN_FLIGHT) await inFlight.shift();
      batch = {images: [], pixels: spare.pop() ?? new Uint8Array(task.batchSize * imageBytes)};
    }

    async function publish({shard, answered, images, places, classes, logProbs, quarantined}: ShardInHand): Promise<void> {
      await answered;
      signal.throwIfAborted();
      const rows = images.length;
      const columns = {classes: classes.map(column => column.subarray(0, rows)), logProbs: logProbs.map(column => column.subarray(0, rows))};
      const metadata = {classes: task.classes, shard: shard.shard, fingerprint: task.fingerprint};
      const sha256 = await writeScores(shard.output, {images, ...columns, metadata}, places);
      await emit({type: 'shard', shard: shard.shard, path: shard.output, sha256, rows, quarantined});
      totals.shards++;
      totals.images += rows;
    }

    /** Publishes while the next shard is already being decoded: at most two are in hand. */
    async function finish(hand: ShardInHand): Promise<void> {
      await infer(hand);
      await publishing;
      publishing = publish(hand);
      publishing.catch(() => {}); // Awaited by the next finish or at the end.
    }

    async function* images(): AsyncGenerator<ImagePlace & {image: ImageReference; shard: ScoreShard}> {
      for await (const shard of readDescriptors(process.stdin, scoreShard, signal)) {
        if (shard.images.length === 0) await publish(begin(shard, task.kept));
        for (const image of shard.images) yield {...image, image, shard};
      }
    }

    let hand: ShardInHand | null = null;
    const announce = task.careful ? {announce: (id: string) => emit({type: 'opening', id})} : {};
    const options = {decoding: task.decoding, threads: task.threads, signal, ...announce};
    for await (const {item, pixels, problem} of decodeAhead(images(), options, decoding)) {
      hand ??= begin(item.shard, task.kept);
      if (problem === null) {
        batch.pixels.set(pixels, batch.images.length * imageBytes);
        batch.images.push(item.image);
        if (batch.images.length === task.batchSize) await infer(hand);
      } else {
        hand.quarantined.push({id: item.image.id, problem});
        await count(1);
      }
      if (--hand.undecoded === 0) {
        await finish(hand);
        hand = null;
      }
    }
    await publishing;
    return {...totals, seconds: (performance.now() - begun) / 1000, secondsDecoding: decoding.seconds, secondsInferring: session.secondsInferring()};
  } finally {
    await session.close();
  }
}
