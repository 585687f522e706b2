/**
 * Step 0: lists the sources, settles what each image is for, and packs the labelled sets; what is listed or packed
 * already stays.
 */
import {UserError} from '../errors.js';
import {statusCommand} from '../home.js';
import {openPack} from '../images/pack.js';
import type {Output, Stage, StageResult} from '../pipeline/stage.js';
import type {Split} from '../store/images.js';
import {count, plural} from '../words.js';
import {agreeOnClasses, list} from './classes.js';
import type {RunContext} from './context.js';
import {listSources, poolChangeWords} from './list-sources.js';
import {packFiles, packSplits} from './pack-images.js';
import {REST, specWords} from './sources.js';

const SPLITS = ['train', 'validation', 'test'] as const;
/** A validation set of fewer images a class would make every choice a matter of luck. */
export const VALIDATION_AT_LEAST = 5;
/**
 * What was measured of small data (experiments/small-data.yaml) begins here; of fewer, nothing says that a student
 * gains.
 */
const FEW_A_CLASS = 20;

export interface PrepareSummary {
  readonly classes: number;
  readonly train: number;
  readonly validation: number;
  readonly test: number;
  readonly pool: number;
  readonly leaks: number;
}

export const prepare: Stage<RunContext> = {
  name: 'prepare',
  version: 3,
  reads: [],
  rows: {
    pool: ({images}) => images.poolDigest(),
    classes: ({images}) => images.classesDigest(),
    listing: ({images}) => images.listingDigest(),
    quarantine: ({quarantine}) => quarantine.digest('prepare'),
  },
  async ingredients({config, sources, size, resize}) {
    const {limits} = config;
    const listed: Record<string, string> = {};
    let pools = 0;
    for (const source of sources) {
      const key = source.role === 'unlabelled' ? `unlabelled[${pools++}]` : source.role;
      listed[key] = specWords(source.spec);
      listed[`files of ${key}`] = await source.snapshot();
    }
    return {
      ...listed,
      seed: String(config.seed),
      'labelled.per_class': String(config.labelled.per_class),
      'validation.share': String(config.validation.share),
      'validation.per_class': String(config.validation.per_class),
      rest: String(config.unlabelled.includes(REST)),
      'image.size': `${size} of ${resize}`,
      limits: [limits.max_file_mb, limits.max_megapixels, limits.decode_seconds, ...limits.formats].join(' '),
    };
  },

  // The pool decides about none of the sets that are labelled.
  unaffected: changed =>
    changed.every(name => /^(files of )?unlabelled\[\d+\]$/.test(name)) ? ['classes', ...SPLITS] : [],

  async run(context): Promise<StageResult> {
    const {config, store, paths, emit} = context;
    const splits = SPLITS.filter(split => split !== 'test' || config.test !== null);
    const packedBefore = splits.filter(split => store.packs.read(split) !== null);
    await settleClasses(context, await listSources(context, packedBefore));
    const {leaks, conflicts} = store.atomically(() =>
      store.images.split({
        seed: config.seed,
        labelledPerClass: config.labelled.per_class,
        validation: validationDraw(context),
        restIsPool: config.unlabelled.includes(REST),
      }),
    );
    for (const {id, place, detail} of leaks)
      store.quarantine.add('prepare', 'split', {image: id, place, code: 'LEAK', detail});
    for (const {id, place, detail} of conflicts)
      store.quarantine.add('prepare', 'split', {image: id, place, code: 'LABEL_CONFLICT', detail});
    if (leaks.length > 0) {
      emit({
        type: 'warning',
        stage: 'prepare',
        message: `${plural(leaks.length, 'image')} found in two sets that must not share any; each was kept out of training and the pool (LEAK). See ${statusCommand(paths)}.`,
      });
    }
    if (conflicts.length > 0) {
      emit({
        type: 'warning',
        stage: 'prepare',
        message: `${plural(conflicts.length, 'image')} labelled with two classes in one set, such as ${conflicts[0]!.place}; left out (LABEL_CONFLICT).`,
      });
    }
    checkSplits(context);
    const change = poolChangeWords(context);
    if (change !== null) emit({type: 'note', stage: 'prepare', message: change});

    const packed = await packSplits(context, splits);
    const outputs: Output[] = config.test === null ? [{name: 'test', digest: 'none was given'}] : [];
    for (const split of splits) {
      outputs.push({name: split, files: await packFiles(paths.pack(split))});
      await checkDecoded(context, split);
    }
    const pool = store.images.poolSize();
    const classes = store.images.classes();
    const summary: PrepareSummary = {classes: classes.length, ...packed, pool, leaks: leaks.length};
    return {
      outputs,
      summary,
      headline: `${plural(summary.classes, 'class', 'classes')}; ${count(summary.train)} training, ${count(summary.validation)} validation, ${count(summary.test)} test and ${count(pool)} unlabelled images`,
    };
  },
};

/** The class list of what was listed. */
async function settleClasses({store, sources}: RunContext, declared: readonly string[] | null): Promise<void> {
  const classes = await agreeOnClasses(sources, declared, role => store.images.labels(role));
  store.atomically(() => store.images.setClasses(classes));
}

function validationDraw({config}: RunContext) {
  const {source, per_class: perClass, share} = config.validation;
  if (source !== null) return null;
  return perClass === null ? {share, atLeast: VALIDATION_AT_LEAST} : {perClass};
}

/**
 * What stands in for a class may turn out to be no picture at all: then it is neither trained nor measured. Throws
 * (exit 3).
 */
async function checkDecoded({store, paths, emit}: RunContext, split: Split): Promise<void> {
  const classes = store.images.classes();
  const pack = await openPack(paths.pack(split));
  const decoded = new Set(pack.samplePairs.filter((_, index) => index % 2 === 1));
  await pack.close();
  // That the split left a class none to validate with has been told.
  const drawn = store.images.splitCounts(split, classes.length);
  const lost = classes.filter(
    (_, position) => !decoded.has(position) && (split !== 'validation' || drawn[position]! > 0),
  );
  if (lost.length === 0) return;
  const found = `Not one ${split === 'train' ? 'labelled' : split} picture of ${plural(lost.length, 'class', 'classes')} (${list(lost)}) can be used; ${statusCommand(paths)} tells why.`;
  if (split !== 'validation')
    throw new UserError('TOO_FEW_LABELS', `${found} Mend or add pictures, or remove the class.`);
  emit({
    type: 'warning',
    stage: 'prepare',
    message: `${found} ${lost.length === 1 ? 'It has' : 'They have'} no say in what is chosen.`,
  });
}

function checkSplits({config, store, emit, sources}: RunContext): void {
  const classes = store.images.classes();
  const without = (split: Split) => {
    const counts = store.images.splitCounts(split, classes.length);
    return classes.filter((_, position) => counts[position] === 0);
  };
  const untrained = without('train');
  if (untrained.length > 0) {
    throw new UserError(
      'TOO_FEW_LABELS',
      `No labelled pictures are left to train on in ${plural(untrained.length, 'class', 'classes')} (${list(untrained)}) after the validation and test sets took theirs. Add pictures, or lower validation.per_class.`,
    );
  }
  const unvalidated = without('validation');
  const advice = 'A class needs at least two labelled pictures, or a validation set of your own (--validation DIR).';
  if (unvalidated.length === classes.length) {
    throw new UserError(
      'TOO_FEW_LABELS',
      `No pictures are left for validation, on which every choice is made: no class has a second labelled picture. ${advice}`,
    );
  }
  if (unvalidated.length > 0) {
    emit({
      type: 'warning',
      stage: 'prepare',
      message: `${plural(unvalidated.length, 'class has', 'classes have')} no validation picture, and so no say in what is chosen: ${list(unvalidated)}. ${advice}`,
    });
  }
  if (config.teacher.file === null) {
    const trained = store.images.splitCounts('train', classes.length).reduce((sum, images) => sum + images, 0);
    if (trained < FEW_A_CLASS * classes.length) {
      // Those that a class gives up to validation must be labelled, too.
      const splitOff = config.validation.source === null ? VALIDATION_AT_LEAST : 0;
      const validated = store.images.splitCounts('validation', classes.length).reduce((sum, images) => sum + images, 0);
      emit({
        type: 'warning',
        stage: 'prepare',
        message: `${plural(trained, 'picture')} to train on, ${Math.round(trained / classes.length)} a class, and ${validated} to choose by are few: a teacher that starts from nothing learns little from them, and its student may come out no better than it. Label ${FEW_A_CLASS + splitOff} or more a class${splitOff === 0 ? '' : `, of which ${splitOff} are to choose by`}, or bring a teacher that knows such pictures (--teacher FILE).`,
      });
    }
  }
  const {per_class: wanted} = config.labelled;
  if (wanted !== null) {
    const [trained, validated] = (['train', 'validation'] as const).map(split =>
      store.images.splitCounts(split, classes.length),
    );
    // Validation images of its own were drawn beside the labelled ones, a share of them out of their number.
    const drawn = (position: number) =>
      trained![position]! + (config.validation.per_class === null ? validated![position]! : 0);
    const short = classes.filter((_, position) => drawn(position) < wanted);
    if (short.length > 0 && config.validation.source === null) {
      emit({
        type: 'warning',
        stage: 'prepare',
        message: `${plural(short.length, 'class has', 'classes have')} fewer than labelled.per_class = ${wanted} pictures: ${list(short)}.`,
      });
    }
  }
  refuseEmptyPool({config, sources}, store.images.poolSize());
}

/** Throws (exit 3) where nothing is left to score. */
export function refuseEmptyPool({config, sources}: Pick<RunContext, 'config' | 'sources'>, images: number): void {
  if (images > 0) return;
  const pools = sources.filter(source => source.role === 'unlabelled').map(source => source.given);
  throw new UserError(
    'POOL_EMPTY',
    `POOL_EMPTY: no unlabelled pictures to score in ${[...pools, ...(config.unlabelled.includes(REST) ? ['what labelled.per_class left over'] : [])].join(', ')}. Give --unlabelled a folder with pictures that are in no other set.`,
  );
}
