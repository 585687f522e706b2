/**
 * Chooses the form in which the teacher scores the pool: as it was exported, or faster in another precision or with
 * another decoder. What a faster form costs is measured first, on the validation set and on a sample of the pool, and
 * told.
 */
import path from 'node:path';
import {PROTOCOL, type Decoding} from '../children/protocol.js';
import {readScores} from '../images/score-file.js';
import {unpackIds} from '../ranking/image-ids.js';
import {Selection} from '../ranking/select.js';
import {percent} from '../words.js';
import type {StageContext} from './context.js';
import {runTrainer} from './tasks.js';
import {measureOnnx} from './onnx.js';
import {packImages, packOf} from './pack-images.js';
import {scoreShardOf, handOutShards} from './hand-out-shards.js';
import {sampleOfPool} from './pool-files.js';
import type {FormCost} from './summaries.js';
import {defaultLayout} from './scoring-layout.js';

export type Precision = 'fp32' | 'int8' | 'fp16';

export interface ScoringForm {
  readonly precision: Precision;
  readonly decode: 'exact' | 'fast';
  /** The ONNX file. */
  readonly model: string;
  /** Of every form that was measured, in order. */
  readonly measured: FormCost[];
}

/**
 * What a form may cost to be taken for the same: points of accuracy as a fraction, and the share of the selection that
 * must agree.
 */
const LARGEST_LOSS = 0.003;
const LEAST_OVERLAP = 0.97;
/** `auto` changes nothing for less. */
const LEAST_SPEEDUP = 1.1;
/** A twentieth of the pool tells; fewer pictures than this do not, and more than a shard are not needed. */
const SAMPLE_SHARE = 1 / 20;
const SMALLEST_SAMPLE = 1000;
const LARGEST_SAMPLE = 4096;
const CANDIDATE_CLASSES = 10;

/** The ONNX file that scores the pool, as the export stage left it. */
export function scoringOnnx({store, home}: Pick<StageContext, 'store' | 'home'>): string {
  const file = store.stages.read('export')?.outputs.find(({name}) => name === 'onnx')?.path;
  if (file === null || file === undefined) throw new Error('The export stage vouches for no ONNX file.');
  return path.join(home, file);
}

/** How the pictures of the pool become pixels when they are scored. */
export const scoringDecoding = (decoding: Decoding, decode: 'exact' | 'fast'): Decoding => ({
  ...decoding,
  shrinkOnLoad: decode === 'fast',
});

/** What a form is chosen by. */
interface FormSettings {
  readonly precision: Precision | 'auto';
  readonly decode: 'exact' | 'fast';
  /** Exact. */
  readonly decoding: Decoding;
  /** Classes of each image. */
  readonly kept: number;
}

/** A form to try. */
interface Candidate {
  readonly precision: Precision;
  readonly endsInFloat: boolean;
}

const EXACT: Candidate = {precision: 'fp32', endsInFloat: false};

/** From the fastest to the most faithful. */
function candidatesFor({device}: StageContext, {precision}: FormSettings): readonly Candidate[] {
  const inInt8 = [false, true].map((endsInFloat): Candidate => ({precision: 'int8', endsInFloat}));
  switch (precision) {
    case 'fp32':
      return [EXACT];
    case 'int8':
      return inInt8;
    case 'fp16':
      return [{precision: 'fp16', endsInFloat: false}];
    case 'auto':
      return [...(device.startsWith('cuda') ? [{precision: 'fp16', endsInFloat: false} as const] : inInt8), EXACT];
  }
}

const nameOf = ({precision, endsInFloat}: Candidate, decode: 'exact' | 'fast'): string =>
  `${precision}${endsInFloat ? ' with its first and last layer in fp32' : ''}${decode === 'fast' ? ', decode fast' : ''}`;

/**
 * The fastest form that `score.precision` and `score.decode` allow and that was measured to choose as the exact one
 * does. Where none was: with `auto` the exact precision, else the most faithful one, with a warning that tells its
 * cost.
 */
export async function chooseScoringForm(
  context: StageContext,
  settings: FormSettings,
  exact: {readonly model: string; readonly top1: number},
): Promise<ScoringForm> {
  const {emit} = context;
  const {precision, decode, decoding, kept} = settings;
  const fast = scoringDecoding(decoding, decode);
  const taken = (candidate: Candidate, model: string, measured: FormCost[]): ScoringForm => ({
    precision: candidate.precision,
    decode,
    model,
    measured,
  });
  if (precision === 'fp32' && decode === 'exact') return taken(EXACT, exact.model, []);

  const reference = await scoreSample(context, {model: exact.model, decoding, kept}, 'sample');
  const validation = decode === 'fast' ? await packValidationFast(context, fast) : 'validation';
  const measured: FormCost[] = [];
  const candidates = candidatesFor(context, settings);
  for (const candidate of candidates) {
    // What auto falls back to when nothing else will do, and costs nothing.
    if (candidate === EXACT && decode === 'exact') return taken(EXACT, exact.model, measured);
    const form = nameOf(candidate, decode);
    const model = await makeForm(context, exact.model, candidate);
    const {top1} = await measureOnnx(context, {stage: 'export', model, pack: validation, reference: null});
    const sample = await scoreSample(context, {model, decoding: fast, kept}, `sample-${measured.length + 1}`);
    const cost: FormCost = {
      form,
      top1,
      exactTop1: exact.top1,
      overlap: overlapOf(reference.pairs, sample.pairs),
      sample: reference.images,
      speedup: reference.seconds / sample.seconds,
    };
    measured.push(cost);
    const faithful = cost.top1 >= cost.exactTop1 - LARGEST_LOSS && cost.overlap >= LEAST_OVERLAP;
    const worthwhile = precision !== 'auto' || candidate === EXACT || cost.speedup >= LEAST_SPEEDUP;
    const isLast = candidate === candidates.at(-1);
    emit({
      type: 'note',
      stage: 'export',
      message: `${form}: ${costWords(cost)}${faithful ? (worthwhile ? '; taken' : '; not worth it') : isLast ? '; taken, since it was asked for' : '; not taken'}`,
    });
    if (faithful && worthwhile) return taken(candidate, model, measured);
    if (isLast) {
      emit({
        type: 'warning',
        stage: 'export',
        message: `The pool is scored in ${form}, which chooses other pictures than the exact form does (allowed are a loss of ${percent(LARGEST_LOSS)} and an overlap of ${percent(LEAST_OVERLAP)}): ${costWords(cost)}. To be exact, set score.precision to fp32 and score.decode to exact.`,
      });
      return taken(candidate, model, measured);
    }
  }
  throw new Error('There was no form to choose.');
}

/** What was chosen and why, at the end of the stage's headline; nothing where nothing was to be chosen. */
export function scoringWords({precision, decode, measured}: ScoringForm): string {
  const last = measured.at(-1);
  if (last === undefined) return '';
  const isExact = precision === 'fp32' && decode === 'exact';
  return `; the pool is scored in ${isExact ? 'fp32, since ' : ''}${last.form}${isExact ? ' has' : ':'} ${costWords(last)}`;
}

const costWords = ({top1, exactTop1, overlap, sample, speedup}: FormCost): string =>
  `${percent(top1)} top-1 on validation where the exact form has ${percent(exactTop1)}, ${percent(overlap)} of the same selection from ${sample} pictures of the pool, ${speedup.toFixed(1)} times as fast`;

/** Returns the file of a form of `model`; the exact one is there already. */
async function makeForm(context: StageContext, model: string, {precision, endsInFloat}: Candidate): Promise<string> {
  const {paths, store} = context;
  if (precision === 'fp32') return model;
  const output = paths.model('teacher', `model.${precision}.onnx`);
  await runTrainer<'quantise'>(
    context,
    {
      protocol: PROTOCOL,
      task: 'quantise',
      device: 'cpu',
      model,
      precision,
      endsInFloat,
      classes: store.images.classes(),
      calibrationPack: paths.pack('validation'),
      output,
    },
    {stage: 'export', part: `quantise ${precision}`},
  );
  return output;
}

/** The validation set as the fast decoder sees it. Returns the pack's name. */
async function packValidationFast(context: StageContext, decoding: Decoding): Promise<string> {
  const name = 'validation-fast';
  context.store.quarantine.forget('export');
  await packImages(context, {stage: 'export', packs: [packOf(context, 'validation', name)], kept: 0, decoding});
  return name;
}

interface Sample {
  readonly images: number;
  /** Of network and decoder. */
  readonly seconds: number;
  /** The selected pairs, as `class image`. */
  readonly pairs: ReadonlySet<string>;
}

/**
 * Scores a sample of the pool, and selects from it: of each class half of what it would hold if all were as frequent,
 * as K is advised to be.
 */
async function scoreSample(
  context: StageContext,
  {model, decoding, kept}: {readonly model: string; readonly decoding: Decoding; readonly kept: number},
  part: string,
): Promise<Sample> {
  const {store, paths} = context;
  const classes = store.images.classes().length;
  const wanted = Math.min(LARGEST_SAMPLE, Math.max(SMALLEST_SAMPLE, Math.round(store.pool.size() * SAMPLE_SHARE)));
  const images = await sampleOfPool(context, wanted);
  const output = path.join(paths.attempts, `export-${part}`, 'scores.parquet');
  const {busy} = await handOutShards(context, {
    stage: 'export',
    part,
    model,
    decoding,
    kept,
    layout: defaultLayout(context),
    fingerprint: part,
    shards: [{number: 0, images: images.length}],
    describe: () => Promise.resolve(scoreShardOf(0, output, images)),
    // What cannot be decoded is set aside when the pool is scored.
    onShard: () => {},
  });
  const topP = Math.min(CANDIDATE_CLASSES, classes);
  const selection = new Selection(classes, topP, Math.max(10, Math.round(images.length / classes / 2)));
  selection.add(await readScores(output, topP));
  const pairs = new Set<string>();
  for (let position = 0; position < classes; position++)
    for (const image of unpackIds(selection.ranking(position).ranked.ids)) pairs.add(`${position} ${image}`);
  return {images: images.length, seconds: busy.inferring + busy.decoding, pairs};
}

const overlapOf = (a: ReadonlySet<string>, b: ReadonlySet<string>): number =>
  a.size === 0 ? 1 : [...a].filter(pair => b.has(pair)).length / a.size;
