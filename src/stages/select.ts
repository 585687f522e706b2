/** Step 2b of the paper: each class keeps its K best candidates; the rankings are written, and the chosen images packed for the student, less what looks like a held-out one. */
import {createHash} from 'node:crypto';
import {dataError, gateError} from '../errors.js';
import {readAllScores} from '../images/score-reader.js';
import type {Stage, StageResult} from '../pipeline/stage.js';
import {idAt} from '../ranking/image-ids.js';
import {Cutoffs, Selection, type ScoredImages} from '../ranking/select.js';
import type {SelectionCounts} from '../events.js';
import type {PackItem} from '../children/protocol.js';
import {count, plural} from '../words.js';
import type {RunContext} from './context.js';
import {packFiles, packImages, packItem} from './pack-images.js';
import {shardFile} from './score.js';

export const select: Stage<RunContext> = {
  name: 'select',
  version: 5,
  // The held-out sets for what nothing that is learned from may look like.
  reads: ['score.scores', 'prepare.classes', 'prepare.validation', 'prepare.test'],
  ingredients({config, size, resize}) {
    const {top_p: topP, top_k: topK, min_score: minScore} = config.select;
    return {'select.top_p': String(topP), 'select.top_k': String(topK), 'select.min_score': String(minScore), 'image.size': `${size} of ${resize}`};
  },

  async run(context): Promise<StageResult> {
    const {config, store, paths, emit} = context;
    const classes = store.images.classes();
    const topP = Math.min(config.select.top_p, classes.length);
    const {top_k: topK} = config.select;
    if (topP < config.select.top_p) emit({type: 'note', stage: 'select', message: `P is ${topP}: there are only so many classes`});
    store.quarantine.forget('select');
    const {scored, candidates, selected, short, cutoffs, digest} = record(context, classes, topK, await rank(context, classes.length, topP, topK));
    if (short.length > 0) {
      emit({
        type: 'warning',
        stage: 'select',
        message: `${plural(short.length, 'class', 'classes')} of ${classes.length} ${short.length === 1 ? 'has' : 'have'} fewer than K = ${count(topK)} candidates and kept all: ${short.slice(0, 5).join(', ')}${short.length > 5 ? ', ...' : ''}. Lower select.top_k, or add pictures.`,
      });
    }
    const packed = await packImages(context, {stage: 'select', part: 'selected', output: paths.pack('selected'), square: 'resize', kept: topP, items: () => chosen(context, cutoffs), of: selected, heldOut: config.test === null ? ['validation'] : ['validation', 'test']});
    const leaks = store.quarantine.countOf('select', 'LEAK');
    if (packed.images === 0 && leaks > 0) throw dataError(`POOL_EMPTY: all ${plural(leaks, 'chosen image')} look like ones of the validation or the test set. Give other pictures to learn from.`);
    const learned = selected - store.atomically(() => store.rankings.excludeSetAside('select', 'LEAK'));
    if (leaks > 0) {
      emit({type: 'warning', stage: 'select', message: `${plural(leaks, 'chosen image')} ${leaks === 1 ? 'looks' : 'look'} like one of the validation or the test set; ${leaks === 1 ? 'it was' : 'each was'} kept out of training (LEAK). See pupil status.`});
    }
    const counts: SelectionCounts = {classes: classes.length, topP, topK, scored, candidates, selected: learned, shortClasses: short.length};
    return {
      outputs: [
        {name: 'selected', files: await packFiles(paths.pack('selected'))},
        {name: 'ranking', digest},
      ],
      summary: {...counts, images: packed.images},
      headline: `${count(learned)} (class, image) pairs of ${count(packed.images)} images for ${plural(classes.length, 'class', 'classes')} (P=${topP}, K=${count(topK)})`,
    };
  },
};

async function rank(context: RunContext, classes: number, topP: number, topK: number): Promise<Selection> {
  const selection = new Selection(classes, topP, topK, context.config.select.min_score ?? -Infinity);
  let lowest = Infinity;
  let highest = -Infinity;
  for await (const scores of scoresOf(context, topP)) {
    selection.add(scores);
    for (const score of scores.logProbs[0]!) {
      lowest = Math.min(lowest, score);
      highest = Math.max(highest, score);
    }
  }
  if (selection.images > 1 && lowest === highest) {
    throw gateError(`All ${count(selection.images)} images have the same best score (${highest}): the teacher tells nothing apart. Look at its validation accuracy with pupil status, and train it longer or give another.`);
  }
  return selection;
}

/** Writes the rankings. What is left of the selection is small, so that its memory is free while pictures are packed. */
export function record({store}: Pick<RunContext, 'store'>, classes: readonly string[], topK: number, selection: Selection) {
  const cutoffs = new Cutoffs(classes.length, selection.topP);
  const hash = createHash('sha256');
  const short: string[] = [];
  let candidates = 0;
  let selected = 0;
  store.atomically(() =>
    store.rankings.replace(classes.length, position => {
      const ranking = selection.ranking(position);
      const {scores, ids} = ranking.ranked;
      hash.update(JSON.stringify([position, ranking.candidates, scores.length]));
      hash.update(new Uint8Array(scores.buffer, scores.byteOffset, scores.byteLength)).update(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength));
      cutoffs.set(position, ranking.ranked);
      candidates += ranking.candidates;
      selected += scores.length;
      if (scores.length < topK) short.push(classes[position]!);
      return ranking;
    }),
  );
  return {scored: selection.images, candidates, selected, short, cutoffs, digest: hash.digest('hex')};
}

/** The selected images shard by shard, each with the teacher's answers for its P best classes: soft targets are made of them. */
async function* chosen(context: RunContext, cutoffs: Cutoffs): AsyncGenerator<PackItem> {
  const {store} = context;
  for await (const scores of scoresOf(context, cutoffs.topP)) {
    const images = scores.logProbs[0]!.length;
    for (let row = 0; row < images; row++) {
      const classes = cutoffs.classesOf(scores, row);
      if (classes.length === 0) continue;
      const of = (columns: readonly (Int32Array | Float32Array)[]): number[] => columns.map(column => column[row]!);
      yield packItem(store.images.byId(idAt(scores.ids, row))!, classes, {classes: of(scores.classes), logProbs: of(scores.logProbs)});
    }
  }
}

/** The score files of all shards in order, the `kept` best classes of each image. */
function scoresOf(context: RunContext, kept: number): AsyncGenerator<ScoredImages> {
  const scored = context.store.shards.all().filter(shard => shard.rows !== 0);
  return readAllScores(scored.map(shard => shardFile(context, shard.number)), kept, context.signal);
}
