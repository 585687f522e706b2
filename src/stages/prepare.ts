/**
 * Step 0: lists the sources, settles what each image is for, and packs the labelled sets; what is listed or packed
 * already stays.
 */
import type {Decoding} from '../children/protocol.js';
import type {Config} from '../config/schema.js';
import {UserError} from '../errors.js';
import {statusCommand} from '../home.js';
import {openPack} from '../images/pack.js';
import type {Output} from '../pipeline/stage.js';
import type {Draw} from '../store/draw.js';
import type {Role, Split} from '../store/images.js';
import type {OwnRows} from '../store/stage-rows.js';
import {count, plural} from '../words.js';
import {agreeOnClasses, list} from './classes.js';
import {decodingOf, type RunContext, type StageContext} from './context.js';
import {defineStage, implied, keyed, told, type Setting} from './define.js';
import {goOnFromListings} from './go-on.js';
import {imageSize} from './image-settings.js';
import {listSources, poolChangeWords} from './list-sources.js';
import {packFiles, packSplits} from './pack-images.js';
import {removeUnusedIndex, locateRanked, poolFiles, settleChange, settlePool} from './pool-files.js';
import {REST, settleRoots, specWords, type RunSource} from './sources.js';
import type {SummaryOf} from './summaries.js';

const SPLITS = ['train', 'validation', 'test'] as const;
/** A validation set of fewer images a class would make every choice a matter of luck. */
const VALIDATION_AT_LEAST = 5;
/**
 * What was measured of small data (experiments/small-data.yaml) begins here; of fewer, nothing says that a student
 * gains.
 */
const FEW_A_CLASS = 20;

const OWN_ROWS: readonly OwnRows[] = [
  ...['sources', 'classes', 'images', 'places', 'packs', 'pool'].map(table => ({table})),
  {table: 'quarantine', where: "stage = 'prepare'"},
];

export const prepare = defineStage({
  name: 'prepare',
  version: 4,
  reads: [],
  rows: {
    classes: ({images}) => images.classesDigest(),
    listing: ({images}) => images.listingDigest(),
    quarantine: ({quarantine}) => quarantine.digest('prepare'),
  },
  ownRows: OWN_ROWS,
  async settings(given) {
    const {config, sources} = given;
    return {
      sources: await sourcesSetting(sources),
      seed: keyed('seed', config.seed),
      labelledPerClass: keyed('labelled.per_class', config.labelled.per_class),
      validationShare: keyed('validation.share', config.validation.share),
      validationPerClass: keyed('validation.per_class', config.validation.per_class),
      restIsPool: keyed('rest', config.unlabelled.includes(REST)),
      decoding: decodingSetting(given),
      // Only where it is trained, few pictures are worth a word.
      trainsTeacher: implied(config.teacher.file === null),
    };
  },

  // The pool decides about none of the sets that are labelled.
  unaffected: changed =>
    changed.every(name => /^(files of )?unlabelled\[\d+\]$/.test(name)) ? ['classes', ...SPLITS] : [],

  relocate,

  async run(context, {decoding, ...settings}, ingredients) {
    const {store, paths, emit} = context;
    const isNew = store.images.sources().length === 0;
    if (isNew && (await goOnFromListings(context, ingredients, OWN_ROWS)))
      await relocate({...context, sources: settings.sources});
    const {sources, seed, labelledPerClass, restIsPool, validationShare: share, validationPerClass} = settings;
    const validation = validationDraw({share, per_class: validationPerClass}, hasRole(sources, 'validation'));
    const splits = SPLITS.filter(split => split !== 'test' || hasRole(sources, 'test'));
    const packs = splits.filter(split => store.packs.read(split) !== null);
    const {maxFileBytes} = decoding;
    const listed = await listSources(context, {sources, maxFileBytes, packs});
    await settleClasses(context, sources, listed.classes);
    const {leaks, conflicts} = store.atomically(() =>
      store.images.split({seed, labelledPerClass, validation, restIsPool}),
    );
    for (const {id, place} of await settlePool(context, listed.pools)) {
      const split = store.images.splitOf(id);
      // Without one it is labelled twice there, which is told.
      if (split !== null) leaks.push({id, place, detail: `in the pool and in the ${split} set: not scored`});
    }
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
    checkSplits(context, settings);
    const change = poolChangeWords(context);
    if (change !== null) emit({type: 'note', stage: 'prepare', message: change});

    const packed = await packSplits(context, decoding, splits);
    const {images: pool, digest} = store.pool.facts()!;
    const outputs: Output[] = [
      {name: 'pool', digest},
      {name: 'index', files: poolFiles(context)},
      ...(splits.includes('test') ? [] : [{name: 'test', digest: 'none was given'}]),
    ];
    for (const split of splits) {
      outputs.push({name: split, files: await packFiles(paths.pack(split))});
      await checkDecoded(context, split);
    }
    const classes = store.images.classes();
    const summary: SummaryOf<'prepare'> = {classes: classes.length, ...packed, pool, leaks: leaks.length};
    return {
      outputs,
      summary,
      headline: `${plural(summary.classes, 'class', 'classes')}; ${count(summary.train)} training, ${count(summary.validation)} validation, ${count(summary.test)} test and ${count(pool)} unlabelled images`,
    };
  },
});

/** Puts right where the pictures lie, as another run had it. */
async function relocate(context: StageContext & Pick<RunContext, 'sources'>): Promise<void> {
  await settleRoots(context);
  await removeUnusedIndex(context);
  await settleChange(context);
  await locateRanked(context);
}

/** The sources are known by how they are written, and by the names, sizes and times of their files. */
async function sourcesSetting(sources: readonly RunSource[]): Promise<Setting<readonly RunSource[]>> {
  const listed: Record<string, string> = {};
  let pools = 0;
  for (const source of sources) {
    const key = source.role === 'unlabelled' ? `unlabelled[${pools++}]` : source.role;
    listed[key] = specWords(source.spec);
    listed[`files of ${key}`] = await source.snapshot();
  }
  return told(sources, listed);
}

function decodingSetting(given: RunContext): Setting<Decoding> {
  const {max_file_mb: fileMb, max_megapixels: megapixels, decode_seconds: seconds, formats} = given.config.limits;
  return told(decodingOf(given), {
    ...imageSize(given).ingredients,
    limits: [fileMb, megapixels, seconds, ...formats].join(' '),
  });
}

const hasRole = (sources: readonly RunSource[], role: Role): boolean => sources.some(source => source.role === role);

/** The class list of what was listed. */
async function settleClasses(
  {store}: StageContext,
  sources: readonly RunSource[],
  declared: readonly string[] | null,
): Promise<void> {
  const classes = await agreeOnClasses(sources, declared, role => store.images.labels(role));
  store.atomically(() => store.images.setClasses(classes));
}

/** What is to be known of the sets. */
interface Sets {
  readonly sources: readonly RunSource[];
  readonly labelledPerClass: number | null;
  readonly validationPerClass: number | null;
  readonly restIsPool: boolean;
  readonly trainsTeacher: boolean;
}

/** How the validation set is split off; not where it has a source of its own. */
export function validationDraw(
  {share, per_class: perClass}: Pick<Config['validation'], 'share' | 'per_class'>,
  hasOwnSource: boolean,
): Draw['validation'] {
  if (hasOwnSource) return null;
  return perClass === null ? {share, atLeast: VALIDATION_AT_LEAST} : {perClass};
}

/**
 * What stands in for a class may turn out to be no picture at all: then it is neither trained nor measured. Throws
 * (exit 3).
 */
async function checkDecoded({store, paths, emit}: StageContext, split: Split): Promise<void> {
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

function checkSplits({store, emit}: StageContext, sets: Sets): void {
  const {sources, labelledPerClass: wanted, validationPerClass, restIsPool, trainsTeacher} = sets;
  const isSplitOff = !hasRole(sources, 'validation');
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
  if (trainsTeacher) {
    const trained = store.images.splitSize('train');
    if (trained < FEW_A_CLASS * classes.length) {
      // Those that a class gives up to validation must be labelled, too.
      const splitOff = isSplitOff ? VALIDATION_AT_LEAST : 0;
      const validated = store.images.splitSize('validation');
      emit({
        type: 'warning',
        stage: 'prepare',
        message: `${plural(trained, 'picture')} to train on, ${Math.round(trained / classes.length)} a class, and ${validated} to choose by are few: a teacher that starts from nothing learns little from them, and its student may come out no better than it. Label ${FEW_A_CLASS + splitOff} or more a class${splitOff === 0 ? '' : `, of which ${splitOff} are to choose by`}, or bring a teacher that knows such pictures (--teacher FILE).`,
      });
    }
  }
  if (wanted !== null) {
    const [trained, validated] = (['train', 'validation'] as const).map(split =>
      store.images.splitCounts(split, classes.length),
    );
    // Validation images of its own were drawn beside the labelled ones, a share of them out of their number.
    const drawn = (position: number) => trained![position]! + (validationPerClass === null ? validated![position]! : 0);
    const short = classes.filter((_, position) => drawn(position) < wanted);
    if (short.length > 0 && isSplitOff) {
      emit({
        type: 'warning',
        stage: 'prepare',
        message: `${plural(short.length, 'class has', 'classes have')} fewer than labelled.per_class = ${wanted} pictures: ${list(short)}.`,
      });
    }
  }
  refuseEmptyPool({sources, restIsPool}, store.pool.size());
}

/** Throws (exit 3) where nothing is left to score. */
export function refuseEmptyPool({sources, restIsPool}: Pick<Sets, 'sources' | 'restIsPool'>, images: number): void {
  if (images > 0) return;
  const pools = sources.filter(source => source.role === 'unlabelled').map(source => source.given);
  throw new UserError(
    'POOL_EMPTY',
    `POOL_EMPTY: no unlabelled pictures to score in ${[...pools, ...(restIsPool ? ['what labelled.per_class left over'] : [])].join(', ')}. Give --unlabelled a folder with pictures that are in no other set.`,
  );
}
