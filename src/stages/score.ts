/**
 * Step 2a of the paper: the teacher scores every image of the pool, shard by shard; a shard of which every picture
 * was read is not scored again.
 */
import {createHash} from 'node:crypto';
import {existsSync, readFileSync, rmSync} from 'node:fs';
import {readdir} from 'node:fs/promises';
import path from 'node:path';
import {z} from 'zod';
import type {Decoding} from '../children/protocol.js';
import {packageFolder} from '../children/python-env.js';
import {UserError} from '../errors.js';
import {eachPart, type ScoringParts} from '../events.js';
import {passFailPoint} from '../files/fail-point.js';
import {statusCommand} from '../home.js';
import {removeKnown, stateOf} from '../pipeline/file-hash.js';
import type {Ingredients} from '../pipeline/stage.js';
import {tableFiles, type IdTable} from '../pool/id-table.js';
import {assignShards, openShardLists} from '../pool/shard-assignment.js';
import {idAt, ID_WORDS} from '../ranking/image-ids.js';
import type {Shard} from '../store/shards.js';
import type {OwnRows} from '../store/stage-rows.js';
import {busiestPart, count, plural, rate} from '../words.js';
import {decodingOf, type StageContext} from './context.js';
import {defineStage, keyed, told, type Setting} from './define.js';
import {gateFailures} from './failures.js';
import {goOnFromScores} from './go-on.js';
import {imageSize, keptClasses} from './image-settings.js';
import {scoreShardOf, handOutShards, type Scored, type ShardEvent} from './hand-out-shards.js';
import {
  removeUnusedIndex,
  locatedIn,
  nextTable,
  poolIndex,
  sampleOfPool,
  settleChange,
  tableOfScores,
  wholeAssignedTable,
} from './pool-files.js';
import {scoringDecoding, scoringOnnx} from './scoring-form.js';
import {findLayout} from './scoring-layout.js';
import type {SummaryOf} from './summaries.js';

/** Another version of a library may round another way. Both are pinned to the digit in our own package.json. */
const libraryVersions = (): {onnxruntime: string; sharp: string} => {
  const pins = z
    .object({dependencies: z.object({sharp: z.string()}), devDependencies: z.object({'onnxruntime-node': z.string()})})
    .parse(JSON.parse(readFileSync(path.join(packageFolder, 'package.json'), 'utf8')));
  return {onnxruntime: pins.devDependencies['onnxruntime-node'], sharp: pins.dependencies.sharp};
};

/** Of the pool, scored over and over before it: more than a batch, and few enough to stay in the system's cache. */
const TRIAL_IMAGES = 512;

/** From this share of the pool on, scores that are no numbers are not the fault of single pictures. */
const MOST_BAD_SCORES = 0.001;

const OWN_ROWS: readonly OwnRows[] = [
  {table: 'shards'},
  {table: 'assigned'},
  {table: 'quarantine', where: "stage = 'score'"},
];

export const score = defineStage({
  name: 'score',
  version: 3,
  reads: ['prepare.pool', 'prepare.classes', 'export.onnx'],
  rows: {shards: ({shards}) => shards.digest(), quarantine: ({quarantine}) => quarantine.digest('score')},
  ownRows: OWN_ROWS,
  settings(given, earlier) {
    const {config} = given;
    return {
      shardSize: keyed('score.shard_size', config.score.shard_size),
      decoding: decodingSetting(scoringDecoding(decodingOf(given), config.score.decode)),
      kept: keptClasses(given, earlier),
      // Kernels differ between processors, so scores of both must not mix.
      provider: keyed('provider', config.device.startsWith('cuda') ? 'cuda' : config.device),
      libraries: told(null, libraryVersions()),
    };
  },

  async relocate(context) {
    await removeUnusedIndex(context);
    await settleChange(context);
  },

  async run(context, {shardSize, decoding, kept}, ingredients) {
    const {store, emit} = context;
    const fingerprint = fingerprintOf(context, ingredients);
    const started = performance.now();
    const standing = await shardsToGoOnFrom(context, ingredients, fingerprint);
    const assigned = await settleShards(context, {
      size: shardSize,
      standing,
      keeps: store.shards.hasScored(fingerprint),
    });
    const all = store.shards.all();
    const todo = all.filter(({number}) => !standing.has(number));
    const pool = store.pool.size();
    const checkFailures = () => {
      // Where nothing at all can be decoded, that is what must be said.
      if (store.shards.someMayHold()) gateFailures(context, {stage: 'score', part: '%', of: pool});
    };
    checkFailures();
    const toScore = todo.reduce((sum, shard) => sum + shard.images, 0);
    if (todo.length < all.length)
      emit({
        type: 'note',
        stage: 'score',
        message: `${count(pool - toScore)} of ${plural(pool, 'image')} are scored already`,
      });
    const work =
      todo.length === 0 ? null : await scorePool(context, {todo, assigned, fingerprint, decoding, kept, checkFailures});
    await removeOthers(context, all);
    const scored = store.shards
      .all()
      .reduce((sum, {number, rows}) => sum + (rows ?? 0) - store.shards.left(number).length, 0);
    if (scored === 0)
      throw new UserError(
        'POOL_EMPTY',
        `POOL_EMPTY: none of the ${count(pool)} unlabelled images could be decoded. See why with ${statusCommand(context.paths)}.`,
      );
    const seconds = (performance.now() - started) / 1000;
    const summary: SummaryOf<'score'> = {
      images: scored,
      quarantined: store.quarantine.failures('score'),
      shards: all.length,
      imagesPerSecond: work === null ? 0 : work.images / seconds,
      busy: work === null ? null : sharesOf(work),
    };
    const speed =
      summary.busy === null ? '' : ` at ${rate(summary.imagesPerSecond)} images/s (${busiestPart(summary.busy)})`;
    return {
      outputs: [
        {name: 'scores', files: all.map(shard => shardFile(context, shard.number))},
        {name: 'assigned', files: tableFiles(assigned)},
      ],
      summary,
      headline: `${count(scored)} images scored${speed}${summary.quarantined > 0 ? `, ${count(summary.quarantined)} set aside` : ''}`,
    };
  },
});

/** How pictures become pixels, and of which limits. */
function decodingSetting(decoding: Decoding): Setting<Decoding> {
  const {size, resize, shrinkOnLoad, ...limits} = decoding;
  return told(decoding, {
    ...imageSize({size, resize}).ingredients,
    limits: Object.values(limits).join(' '),
    'score.decode': shrinkOnLoad ? 'fast' : 'exact',
  });
}

/**
 * What the scores of a shard depend on, as one hash: all ingredients of the stage but which images the pool holds.
 */
function fingerprintOf({device}: StageContext, ingredients: Ingredients): string {
  const own = Object.fromEntries(Object.entries(ingredients).filter(([name]) => name !== 'prepare.pool'));
  return (
    createHash('sha256')
      // The one that was proved, where `auto` was asked for.
      .update(JSON.stringify({...own, provider: device.split(':')[0]}))
      .digest('hex')
  );
}

/** The names that shards have, and what a killed process leaves of one. */
const SHARD_FILE = /^shard-\d{5,}\.parquet(\.tmp)?$/;
export const shardFile = ({paths}: Pick<StageContext, 'paths'>, number: number): string =>
  path.join(paths.scores, `shard-${String(number).padStart(5, '0')}.parquet`);

const sharesOf = ({busy, seconds}: Scored): ScoringParts => eachPart(part => Math.min(1, busy[part] / seconds));

/** Removes score files of an earlier cut of the pool: whoever reads the whole folder would count their images twice. */
async function removeOthers(context: StageContext, shards: readonly Shard[]): Promise<void> {
  const {scores} = context.paths;
  const kept = new Set(shards.map(shard => path.basename(shardFile(context, shard.number))));
  const written = existsSync(scores) ? (await readdir(scores)).filter(name => SHARD_FILE.test(name)) : [];
  for (const name of written) if (!kept.has(name)) await removeKnown(path.join(scores, name), context.store.hashes);
}

/** Those of its own that stand, or those that are kept of a pool which has more in common with this one. */
async function shardsToGoOnFrom(
  context: StageContext,
  ingredients: Ingredients,
  fingerprint: string,
): Promise<Set<number>> {
  const {store} = context;
  const own = await standingShards(context, fingerprint);
  const scored = store.shards.all().reduce((sum, {number, images}) => sum + (own.has(number) ? images : 0), 0);
  const taken = await goOnFromScores(context, ingredients, OWN_ROWS, scored);
  if (taken === null) return own;
  // What else was scored beside this pool is no matter here.
  return new Set([...(await standingShards(context, fingerprint))].filter(shard => taken.has(shard)));
}

/**
 * Shards that were scored so, whose file is what was written, and of which every picture could be read: one that could
 * not may be there by now.
 */
async function standingShards(context: StageContext, fingerprint: string): Promise<Set<number>> {
  const standing = new Set<number>();
  const incomplete = context.store.quarantine.partsWith('score', 'UNREADABLE');
  for (const {number, fingerprint: of, sha256} of context.store.shards.all()) {
    const file = shardFile(context, number);
    const stands =
      of === fingerprint &&
      !incomplete.has(String(number)) &&
      sha256 !== null &&
      (await stateOf(file, sha256, context.store.hashes, context.signal)) === 'whole';
    if (stands) standing.add(number);
  }
  return standing;
}

/**
 * Puts every image of the pool into a shard; what is not `standing` will be scored. `keeps` where any shard was scored so:
 * then shards stay as they are, and what joined the pool gets further ones. Returns the table that tells them.
 */
async function settleShards(
  context: StageContext,
  {size, standing, keeps}: {readonly size: number; readonly standing: ReadonlySet<number>; readonly keeps: boolean},
): Promise<IdTable> {
  const {store, signal} = context;
  const pool = poolIndex(context);
  const failed = new Set(store.shards.all().flatMap(({number}) => store.quarantine.idsOfPart('score', String(number))));
  const forgotten: string[] = [];
  const {name, folder} = nextTable(context);
  const {table, images, left, changed} = await assignShards({
    pool,
    before: await assignedBefore(context, standing),
    folder,
    size,
    keeps,
    // Of a shard that is scored anew there will be no scores of what left it; what could not be scored is tried again.
    forgets(id, shard) {
      if (!failed.has(idAt(id, 0))) return !standing.has(shard);
      forgotten.push(idAt(id, 0));
      return true;
    },
    signal,
  });
  const gone = [...left.values()].reduce((sum, ids) => sum + ids.length / ID_WORDS, 0);
  store.atomically(() => {
    const others = store.shards.all().filter(({number}) => !standing.has(number));
    store.shards.settle({images, left, renewed: keeps ? new Set(others.map(({number}) => number)) : changed});
    store.pool.assign({...table, folder: name}, gone);
    store.quarantine.forgetImages('score', forgotten);
    store.quarantine.keepParts('score', [...standing].map(String));
  });
  await removeUnusedIndex(context);
  return table;
}

/** Where images were put before: as the table tells, or the score files that stand, where there is none or it is damaged. */
async function assignedBefore(context: StageContext, standing: ReadonlySet<number>): Promise<IdTable | null> {
  const table = await wholeAssignedTable(context);
  if (table !== null || standing.size === 0) return table;
  const files = new Map([...standing].map(number => [number, shardFile(context, number)]));
  return await tableOfScores(context, files, poolIndex(context).images);
}

/**
 * Throws before a shard counts as scored, where what it lacks is not the fault of its pictures: exit 4 for the disk, 5
 * for the network.
 */
function checkShard(
  {store, paths}: StageContext,
  {shard, rows, quarantined}: ShardEvent,
  placeOf: (id: string) => string,
): void {
  const [first] = quarantined;
  const isGone = rows === 0 && first !== undefined && quarantined.every(({problem}) => problem.code === 'UNREADABLE');
  if (isGone)
    throw new UserError(
      'UNREADABLE_FILES',
      `None of ${plural(quarantined.length, 'picture')} in a row can be read; the first is ${placeOf(first.id)}: ${first.problem.detail}. Is its disk there? The same command goes on from here.`,
    );
  const [bad, ...more] = quarantined.filter(({problem}) => problem.code === 'BAD_SCORE');
  if (bad === undefined) return;
  const [found, pool] = [store.quarantine.countOf('score', 'BAD_SCORE') + 1 + more.length, store.pool.size()];
  if (found <= MOST_BAD_SCORES * pool) return;
  // Nothing that holds such answers is left where scores are looked for.
  rmSync(shardFile({paths}, shard), {force: true});
  throw new UserError(
    'BAD_SCORES',
    `The network answers NaN or infinity for ${count(found)} of the ${count(pool)} images of the pool, such as ${placeOf(bad.id)}. ` +
      'It may overflow: set score.precision to fp32, or train the teacher again with a lower teacher.learning_rate.',
  );
}

/** Scores these shards; each is recorded as soon as its file is there. */
async function scorePool(
  context: StageContext,
  {
    todo,
    assigned,
    fingerprint,
    decoding,
    kept,
    checkFailures,
  }: {
    todo: readonly Shard[];
    assigned: IdTable;
    fingerprint: string;
    decoding: Decoding;
    kept: number;
    checkFailures: () => void;
  },
): Promise<Scored> {
  const {store, paths, signal} = context;
  const model = scoringOnnx(context);
  const images = todo.reduce((sum, shard) => sum + shard.images, 0);
  const sample = await sampleOfPool(context, TRIAL_IMAGES);
  const layout = await findLayout(context, {model, decoding, images, sample});
  const located = locatedIn(context);
  const lists = await openShardLists(poolIndex(context), assigned, {
    shards: todo.map(({number}) => number),
    folder: path.join(paths.pool, 'todo.tmp'),
    signal,
  });
  const scoring = handOutShards(context, {
    stage: 'score',
    part: '',
    model,
    decoding,
    layout,
    kept,
    fingerprint,
    shards: todo,
    async describe(number) {
      // Before anything of it is touched: what it vouched for no longer holds.
      store.atomically(() => store.shards.setUnscored(number));
      return scoreShardOf(number, shardFile(context, number), (await lists.of(number)).map(located));
    },
    onShard(event, placeOf) {
      const {shard, sha256, rows, quarantined} = event;
      checkShard(context, event, placeOf);
      passFailPoint('shard.before-record');
      store.atomically(() => {
        for (const {id, problem} of quarantined) {
          store.quarantine.add('score', String(shard), {image: id, place: placeOf(id), ...problem});
        }
        store.shards.setScored(shard, fingerprint, sha256, rows);
      });
      passFailPoint('shard.after-record');
      checkFailures();
    },
  });
  return await scoring.finally(() => lists.close());
}
