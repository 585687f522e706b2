/**
 * Step 2b of the paper: each class keeps its K best candidates; the rankings are written, and the chosen images packed
 * for the student, less what looks like a held-out one.
 */
import {UserError} from '../errors.js';
import {statusCommand} from '../home.js';
import {readAllScores} from '../images/score-reader.js';
import {probability, type KeptAnswers} from '../ranking/calibration.js';
import {ChosenImages} from '../ranking/chosen-images.js';
import {idAt, ID_WORDS} from '../ranking/image-ids.js';
import {Cutoffs, Selection, without, type ScoredImages} from '../ranking/select.js';
import {fittingTopK, fittingTopP, isCrowded, takenTopP} from '../ranking/selection-size.js';
import type {SelectionCounts} from '../events.js';
import {count, crowdedWords, percent, plural} from '../words.js';
import {decodingOf, type StageContext} from './context.js';
import {defineStage, implied, keyed} from './define.js';
import {imageSize, keptClasses} from './image-settings.js';
import {imageOf, packFiles, packImage, packImages, type PackImage} from './pack-images.js';
import {locateRanked} from './pool-files.js';
import {shardFile} from './score.js';
import {requireSummary} from './summaries.js';

export const select = defineStage({
  name: 'select',
  version: 7,
  // The pool for which of the scores count. The held-out sets for what nothing that is learned from may look like; the calibration for what the teacher's
  // answers are worth.
  reads: [
    'score.scores',
    'export.calibration',
    'prepare.pool',
    'prepare.classes',
    'prepare.validation',
    'prepare.test',
  ],
  rows: {
    ranking: ({rankings}) => rankings.digest(),
    chosen: ({chosen}) => chosen.digest(),
    quarantine: ({quarantine}) => quarantine.digest('select'),
  },
  ownRows: [{table: 'rankings'}, {table: 'class_rankings'}, {table: 'quarantine', where: "stage = 'select'"}],
  // Where they lie in this run's listings.
  relocate: locateRanked,
  settings: (given, earlier) => ({
    givenP: keyed('select.top_p', given.config.select.top_p),
    givenK: keyed('select.top_k', given.config.select.top_k),
    minScore: keyed('select.min_score', given.config.select.min_score),
    sizes: imageSize(given),
    // Which pictures it can decode, the scores tell.
    decoding: implied(decodingOf(given)),
    // By the scores.
    kept: implied(keptClasses(given, earlier).value),
    // By the test set, of which there is none.
    hasTest: implied(given.config.test !== null),
  }),

  async run(context, {givenP, givenK, minScore, decoding, kept, hasTest}) {
    const {store, paths, emit} = context;
    const classes = store.images.classes();
    const topP = takenTopP(givenP, classes.length);
    const topK = givenK === 'auto' ? await expectedTopK(context, kept, classes.length) : givenK;
    if (givenP !== 'auto' && topP < givenP)
      emit({type: 'note', stage: 'select', message: `P is ${topP}: there are only so many classes`});
    store.quarantine.forget('select');
    const {scored, candidates, selected, short, cutoffs} = record(
      context,
      classes,
      topK,
      await rank(context, {classes: classes.length, topP, topK, minScore}),
    );
    if (selected === 0)
      throw new UserError(
        'NO_CANDIDATES',
        `Not one of ${plural(scored, 'image')} has a score of select.min_score = ${minScore} or more for a class. Scores are logarithms of probabilities, 0 at most: lower it, or leave it out.`,
      );
    await locateRanked(context);
    // Where K is as many as the teacher is right about, some classes have fewer: that is what was to be expected.
    if (short.length > 0 && givenK !== 'auto') {
      emit({
        type: 'warning',
        stage: 'select',
        message: `${plural(short.length, 'class', 'classes')} of ${classes.length} ${short.length === 1 ? 'has' : 'have'} fewer than K = ${count(topK)} candidates and kept all: ${short.slice(0, 5).join(', ')}${short.length > 5 ? ', ...' : ''}. Lower select.top_k, or add pictures.`,
      });
    }
    const expectation = {right: 0};
    const images = () => {
      expectation.right = 0;
      return chosen(context, kept, cutoffs, expectation);
    };
    const [packed] = await packImages(context, {
      stage: 'select',
      packs: [{name: 'selected', square: 'resize', images, of: selected}],
      kept,
      decoding,
      heldOut: hasTest ? ['validation', 'test'] : ['validation'],
    });
    const leaks = store.quarantine.countOf('select', 'LEAK');
    if (packed!.images === 0 && leaks > 0)
      throw new UserError(
        'POOL_EMPTY',
        `POOL_EMPTY: all ${plural(leaks, 'chosen image')} look like ones of the validation or the test set. Give other pictures to learn from.`,
      );
    const learned = selected - store.atomically(() => store.rankings.excludeSetAside('select', 'LEAK'));
    if (leaks > 0) {
      emit({
        type: 'warning',
        stage: 'select',
        message: `${plural(leaks, 'chosen image')} ${leaks === 1 ? 'looks' : 'look'} like one of the validation or the test set; ${leaks === 1 ? 'it was' : 'each was'} kept out of training (LEAK). See ${statusCommand(paths)}.`,
      });
    }
    const counts: SelectionCounts = {
      classes: classes.length,
      topP,
      topK,
      scored,
      candidates,
      selected: learned,
      shortClasses: short.length,
      images: packed!.images,
      expectedPrecision: selected === 0 ? 0 : expectation.right / selected,
    };
    if (isCrowded(counts)) {
      const fitting = `P = ${fittingTopP(classes.length)} and K = ${count(await expectedTopK(context, kept, classes.length))}`;
      emit({
        type: 'warning',
        stage: 'select',
        message: `${crowdedWords(counts)} Leave select.top_p and select.top_k out, which comes to ${fitting} here, or lower them.`,
      });
    }
    return {
      outputs: [{name: 'selected', files: await packFiles(paths.pack('selected'))}],
      summary: counts,
      headline: `${count(learned)} (class, image) pairs of ${count(packed!.images)} images for ${plural(classes.length, 'class', 'classes')} (P=${topP}, K=${count(topK)}); about ${percent(counts.expectedPrecision)} of them right, by what the teacher's probabilities are worth on validation`,
    };
  },
});

/** Fine enough for any sum of them, and coarse enough for those of 10^9 to be exact. */
const PROBABILITY_STEPS = 2 ** 20;

/** The K that suits these classes, this pool, and what the teacher's answers to it are worth. */
async function expectedTopK(context: StageContext, kept: number, classes: number): Promise<number> {
  const temperature = calibrationOf(context);
  // In whole numbers, whose sum is the same in whatever order the pool was scored.
  let [expectedRight, scored] = [0, 0];
  for await (const scores of scoresOf(context, kept)) {
    const answers = answersOf(scores, classes);
    for (let row = 0; row < imagesIn(scores); row++)
      expectedRight += Math.round(probability(answers, row, 0, temperature) * PROBABILITY_STEPS);
    scored += imagesIn(scores);
  }
  return fittingTopK({expectedRight: expectedRight / PROBABILITY_STEPS, scored, classes});
}

const calibrationOf = ({store}: StageContext): number => requireSummary(store, 'export').fittedTemperature;

const imagesIn = ({ids}: ScoredImages): number => ids.length / ID_WORDS;
const answersOf = ({logProbs}: ScoredImages, classes: number): KeptAnswers => ({
  kept: logProbs.length,
  classes,
  logProb: (image, position) => logProbs[position]![image]!,
});

interface Ranking {
  readonly classes: number;
  readonly topP: number;
  readonly topK: number;
  readonly minScore: number | null;
}

async function rank(context: StageContext, {classes, topP, topK, minScore}: Ranking): Promise<Selection> {
  // No class has more than the pool: room is made for no more.
  const selection = new Selection(classes, topP, Math.min(topK, context.store.pool.size()), minScore ?? -Infinity);
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
    throw new UserError(
      'SATURATED_TEACHER',
      `All ${count(selection.images)} images have the same best score (${highest}), so that none is surer than another. Look at the teacher's validation accuracy with ${statusCommand(context.paths)}: where it is good, its answers are saturated, and a higher teacher.temperature (--set teacher.temperature=10) tells them apart; else train it longer or give another.`,
    );
  }
  return selection;
}

/**
 * Writes the rankings. What is left of the selection is small, so that its memory is free while pictures are packed.
 */
export function record(
  {store}: Pick<StageContext, 'store'>,
  classes: readonly string[],
  topK: number,
  selection: Selection,
) {
  const cutoffs = new Cutoffs(classes.length, selection.topP);
  const short: string[] = [];
  let candidates = 0;
  let selected = 0;
  store.atomically(() =>
    store.rankings.replace(classes.length, position => {
      const ranking = selection.ranking(position);
      const {scores} = ranking.ranked;
      cutoffs.set(position, ranking.ranked);
      candidates += ranking.candidates;
      selected += scores.length;
      if (scores.length < topK) short.push(classes[position]!);
      return ranking;
    }),
  );
  return {scored: selection.images, candidates, selected, short, cutoffs};
}

/**
 * The selected images by id, each with the teacher's answers for its best classes: soft targets are made of them. Adds
 * up in `expectation` how many of the pairs the teacher may be expected to be right about.
 */
async function* chosen(
  context: StageContext,
  kept: number,
  cutoffs: Cutoffs,
  expectation: {right: number},
): AsyncGenerator<PackImage> {
  const {store} = context;
  const classCount = store.images.classes().length;
  const temperature = calibrationOf(context);
  const images = new ChosenImages(kept);
  for await (const scores of scoresOf(context, kept))
    for (let row = 0; row < imagesIn(scores); row++)
      if (cutoffs.classesOf(scores, row).length > 0) images.add(scores, row);
  const {scores, rows} = images.ordered();
  const answers = answersOf(scores, classCount);
  for (const row of rows) {
    const classes = cutoffs.classesOf(scores, row);
    const best = scores.classes.map(column => column[row]!);
    for (const chosenClass of classes)
      expectation.right += probability(answers, row, best.indexOf(chosenClass), temperature);
    yield packImage(imageOf(context, idAt(scores.ids, row))!, classes, {
      classes: best,
      logProbs: scores.logProbs.map(column => column[row]!),
    });
  }
}

/** The score files of all shards in order, the `kept` best classes of each image that is in the pool. */
async function* scoresOf({store, paths, signal}: StageContext, kept: number): AsyncGenerator<ScoredImages> {
  const scored = store.shards.all().filter(shard => shard.rows !== 0);
  const shards = scored.values();
  for await (const scores of readAllScores(
    scored.map(shard => shardFile({paths}, shard.number)),
    kept,
    signal,
  )) {
    const left = store.shards.left(shards.next().value!.number);
    yield left.length === 0 ? scores : without(scores, new Set(left));
  }
}
