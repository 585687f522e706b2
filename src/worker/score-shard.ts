/**
 * The `score` task: each shard named on stdin becomes one Parquet file of top classes and log-probabilities.
 *
 * Decoding (thread pool) and inference (a thread of its own) overlap. Memory is bounded by the batch size: decoded
 * images wait for a batch, batches wait for the network, and nothing is read while both are full. A score depends on
 * its image alone, not on when it was decoded or what else lay in its batch: every batch has the same shape, the last
 * one of a shard is padded.
 */
import {
  scoreShard,
  type ImageReference,
  type Quarantined,
  type ScoreShard,
  type TaskOf,
  type TaskResult,
} from '../children/protocol.js';
import {READS_AT_ONCE} from '../children/worker-threads.js';
import type {ScoringParts} from '../events.js';
import {writeScores} from '../images/score-file.js';
import {batchesOf} from './batches.js';
import {decodeAhead} from './decode-ahead.js';
import {readDescriptors} from './descriptors.js';
import {trackProgress} from './events.js';
import {WorkerFailure} from './failure.js';
import {checkDecoding, matchClasses, openSession, type Answers} from './session.js';
import type {TaskContext} from './task-context.js';

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
}

const begin = (shard: ScoreShard, kept: number): ShardInHand => ({
  shard,
  undecoded: shard.images.length,
  images: [],
  places: [],
  classes: Array.from({length: kept}, () => new Int32Array(shard.images.length)),
  logProbs: Array.from({length: kept}, () => new Float32Array(shard.images.length)),
  quarantined: [],
});

/** An image in a batch, and the shard that wants its row. */
interface InBatch {
  hand: ShardInHand;
  image: ImageReference;
}

/** Adds the answers to one batch. A row with a NaN or an infinity is quarantined: neither can be ranked. */
function addRows(
  batch: readonly InBatch[],
  {logProbs, classes}: Answers,
  modelKept: number,
  classIndex: Int32Array,
): void {
  batch.forEach(({hand, image: {id, place}}, i) => {
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
      if (index === undefined)
        throw new WorkerFailure(
          'model',
          `The network answered class ${classes[i * modelKept + k]} of ${classIndex.length}.`,
        );
      column[row] = scores[k] ?? NaN;
      const classColumn = hand.classes[k];
      if (classColumn !== undefined) classColumn[row] = index;
    });
  });
}

/** Scores every shard named on stdin, in order; each is published whole and told by a `shard` event. */
export async function scoreShards(
  task: TaskOf<'score'>,
  {descriptors, signal, emit}: TaskContext,
): Promise<TaskResult<'score'>> {
  const begun = performance.now();
  const {layout} = task;
  const session = await openSession(task.model, task.device, layout);
  try {
    const {model} = session;
    checkDecoding(model, task.decoding);
    if (model.kept < task.kept)
      throw new WorkerFailure('model', `The model keeps ${model.kept} classes an image; the task wants ${task.kept}.`);
    const classIndex = matchClasses(model.classes, task.classes);

    const spent = {reading: 0, decoding: 0, writing: 0};
    const secondsBusy = (): ScoringParts => ({
      reading: spent.reading / READS_AT_ONCE,
      decoding: spent.decoding / layout.decodeThreads,
      inferring: session.secondsInferring(),
      writing: spent.writing,
    });
    const count = trackProgress(emit, task.images, secondsBusy);
    const totals = {shards: 0, images: 0};
    let publishing = Promise.resolve();
    const batches = batchesOf<InBatch>(session, layout.batchSize, async (places, answers) => {
      addRows(places, answers, model.kept, classIndex);
      await count(places.length);
    });

    async function publish({shard, images, places, classes, logProbs, quarantined}: ShardInHand): Promise<void> {
      signal.throwIfAborted();
      const writingBegun = performance.now();
      const rows = images.length;
      const columns = {
        classes: classes.map(column => column.subarray(0, rows)),
        logProbs: logProbs.map(column => column.subarray(0, rows)),
      };
      const metadata = {classes: task.classes, shard: shard.shard, fingerprint: task.fingerprint};
      const sha256 = await writeScores(shard.output, {images, ...columns, metadata}, places);
      spent.writing += (performance.now() - writingBegun) / 1000;
      await emit({type: 'shard', shard: shard.shard, path: shard.output, sha256, rows, quarantined});
      totals.shards++;
      totals.images += rows;
    }

    /** Publishes while the next shard is already being decoded: at most two are in hand. */
    async function finish(hand: ShardInHand): Promise<void> {
      const {answered} = await batches.flush();
      await publishing;
      publishing = answered.then(() => publish(hand));
      publishing.catch(() => {}); // Awaited by the next finish or at the end.
    }

    /** Shards whose images are being read and decoded, in order. */
    const taken: ScoreShard[] = [];
    async function* lots(): AsyncGenerator<readonly ImageReference[]> {
      for await (const shard of readDescriptors(descriptors(), scoreShard)) {
        if (shard.images.length === 0) {
          await publish(begin(shard, task.kept));
          continue;
        }
        taken.push(shard);
        yield shard.images;
      }
    }

    let hand: ShardInHand | null = null;
    for await (const lot of decodeAhead(
      lots(),
      {decoding: task.decoding, threads: layout.decodeThreads, precautions: task.precautions, signal},
      spent,
    )) {
      for (const {item, pixels, problem} of lot) {
        hand ??= begin(taken.shift()!, task.kept);
        if (problem === null) {
          await batches.add({hand, image: item}, pixels);
        } else {
          hand.quarantined.push({id: item.id, problem});
          await count(1);
        }
        if (--hand.undecoded === 0) {
          await finish(hand);
          hand = null;
        }
      }
    }
    await publishing;
    return {...totals, seconds: (performance.now() - begun) / 1000, busy: secondsBusy()};
  } finally {
    await session.close();
  }
}
