/**
 * The engine: takes stages in order, skips the fresh, runs the stale, and records each before the next begins. It knows
 * no stage by name.
 */
import {createHash} from 'node:crypto';
import path from 'node:path';
import {stageNames, type Emit, type StageName, type StageStatus} from '../events.js';
import {Interrupted, interruptionOf, throwIfStopped, UserError} from '../errors.js';
import type {OutputRecord, RecordedStatus} from '../store/stages.js';
import type {Store} from '../store/open.js';
import {damageOf, type Rows} from './damage.js';
import {verdict, type Verdict} from './freshness.js';
import {hashFile, stampOf} from './stamp.js';
import type {Ingredients, Stage, StageResult} from './stage.js';

/** What the engine needs of a context; stages need more. */
export interface EngineContext {
  readonly home: string;
  readonly store: Store;
  readonly signal: AbortSignal;
  readonly emit: Emit;
}

/** Which stages the user wants: `only` and `from` run even where fresh. */
export interface Wanted {
  readonly from?: StageName | undefined;
  readonly only?: StageName | undefined;
  readonly until?: StageName | undefined;
}

export interface Planned<Context> {
  readonly stage: Stage<Context>;
  /** Whether this orchestration may run it. */
  readonly wanted: boolean;
  readonly verdict: Verdict;
  /** Whether its result is that of today's settings and data, all the way down. */
  readonly stands: boolean;
  readonly ingredients: Ingredients;
}

/**
 * SHA-256 of a product, `stage.output`, as it is recorded: of the hashes of its files with their names, or of the
 * digest of its rows. It knows no folder, so that a copy of a run has the same. Null where there is none.
 */
export function productDigest({stages}: Store, reference: string): string | null {
  const [producer = '', name = ''] = reference.split('.');
  const parts = (stages.read(producer)?.outputs ?? []).filter(output => output.name === name);
  if (parts.length === 0) return null;
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.path === null ? '' : path.basename(part.path)} ${part.sha256}\n`);
  return hash.digest('hex');
}

/**
 * The verdict on every stage as things stand; what a stage will make anew is not known to those that read it. `restamp`
 * is false where the database may only be read. Throws (exit 2) where what is wanted cannot be run yet, or would rest
 * on a result of other settings that is not wanted anew.
 */
export async function inspect<Context extends EngineContext>(
  stages: readonly Stage<Context>[],
  context: Context,
  {restamp, wanted = {}}: {readonly restamp: boolean; readonly wanted?: Wanted},
): Promise<Planned<Context>[]> {
  const planned: Planned<Context>[] = [];
  /** Stages that will run, each with the products that it will leave as they are. */
  const willRun = new Map<string, readonly string[]>();
  /** Of the stages that stay as they are: on what outdated one each rests, or that it is one. */
  const outdated = new Map<string, string>();
  for (const stage of stages) {
    const plan = await inspectOne(stage, context, {restamp, willRun, wanted});
    const {fresh, reason} = plan.verdict;
    const below = stage.reads.map(reference => outdated.get(producerOf(reference))).find(found => found !== undefined);
    if (plan.wanted && !fresh) {
      requireFoundation(plan, willRun);
      if (below !== undefined)
        throw new UserError(
          'STALE_STAGE',
          `${stage.name} would rest on a result of other settings: ${below}. Run pupil orchestrate without --from and --only first, or put the settings back.`,
        );
      const {changed} = plan.verdict;
      willRun.set(stage.name, changed.length === 0 ? [] : (stage.unaffected?.(changed) ?? []));
    } else if (below !== undefined || plan.verdict.outdated)
      outdated.set(stage.name, below ?? `${stage.name} is out of date (${reason})`);
    planned.push({...plan, stands: fresh && below === undefined});
  }
  return planned;
}

const producerOf = (reference: string): string => reference.split('.')[0]!;

async function inspectOne<Context extends EngineContext>(
  stage: Stage<Context>,
  context: Context,
  {
    restamp,
    willRun,
    wanted,
  }: {readonly restamp: boolean; readonly willRun: ReadonlyMap<string, readonly string[]>; readonly wanted: Wanted},
): Promise<Omit<Planned<Context>, 'stands'>> {
  const {store} = context;
  const recorded = store.stages.read(stage.name);
  const pending: string[] = [];
  const read: Record<string, string> = {};
  for (const reference of stage.reads) {
    const digest = productDigest(store, reference);
    const [producer, product] = reference.split('.') as [string, string];
    const willBeMade = willRun.has(producer) && !willRun.get(producer)!.includes(product);
    if (willBeMade || digest === null) pending.push(reference);
    else read[reference] = digest;
  }
  const ingredients = {version: String(stage.version), ...(await stage.ingredients(context)), ...read};
  const damage =
    recorded === null
      ? []
      : await damageOf(stage, recorded, context, (relative, stamp) => {
          if (restamp) store.stages.restamp(stage.name, relative, stamp);
        });
  const found = verdict(recorded, ingredients, damage, pending);
  const asked = forced(stage.name, wanted);
  return {
    stage,
    wanted: isWanted(stage.name, wanted),
    verdict: found.fresh && asked !== null ? {fresh: false, reason: asked, outdated: false, changed: []} : found,
    ingredients,
  };
}

/** Refuses (exit 2) a stage that reads what was never made, and is not about to be. */
function requireFoundation<Context>(
  {stage, ingredients}: Pick<Planned<Context>, 'stage' | 'ingredients'>,
  willRun: ReadonlyMap<string, unknown>,
): void {
  for (const reference of stage.reads) {
    const producer = producerOf(reference);
    if (reference in ingredients || willRun.has(producer)) continue;
    throw new UserError(
      'MISSING_STAGE',
      `${stage.name} reads what ${producer} makes, and ${producer} has not run yet. Run pupil orchestrate without --from and --only first.`,
    );
  }
}

const position = (name: StageName): number => stageNames.indexOf(name);

function isWanted(name: StageName, {from, only, until}: Wanted): boolean {
  if (only !== undefined) return name === only;
  return (
    (from === undefined || position(name) >= position(from)) &&
    (until === undefined || position(name) <= position(until))
  );
}

/** Why a stage runs even where it is fresh; null where it does not. */
function forced(name: StageName, wanted: Wanted): string | null {
  if (!isWanted(name, wanted)) return null;
  return wanted.only !== undefined
    ? 'asked for with --only'
    : wanted.from !== undefined
      ? 'asked for with --from'
      : null;
}

/** Runs what is stale among the wanted stages. Returns what became of each, with its seconds. */
export async function runStages<Context extends EngineContext>(
  stages: readonly Stage<Context>[],
  context: Context,
  wanted: Wanted,
): Promise<Partial<Record<StageName, {status: StageStatus; seconds: number}>>> {
  const outcome: Partial<Record<StageName, {status: StageStatus; seconds: number}>> = {};
  for (const stage of stages) {
    if (!isWanted(stage.name, wanted)) continue;
    throwIfStopped(context.signal);
    const plan = await inspectOne(stage, context, {restamp: true, willRun: new Map(), wanted});
    const {fresh, reason} = plan.verdict;
    if (fresh) {
      context.emit({type: 'stage_fresh', stage: stage.name, reason});
      outcome[stage.name] = {
        status: context.store.stages.read(stage.name)?.status === 'skipped' ? 'skipped' : 'fresh',
        seconds: 0,
      };
    } else {
      requireFoundation(plan, new Map());
      outcome[stage.name] = await runOne(
        plan,
        context,
        startingWords(context.store.stages.read(stage.name)?.status, reason),
      );
    }
  }
  return outcome;
}

/** Why a stage starts, as is said when it does: what it failed with last time was told then. */
const startingWords = (recorded: RecordedStatus | undefined, reason: string): string =>
  recorded === undefined ? 'starting' : recorded === 'failed' ? 'again, after it failed' : reason;

async function runOne<Context extends EngineContext>(
  {stage, ingredients}: Pick<Planned<Context>, 'stage' | 'ingredients'>,
  context: Context,
  reason: string,
): Promise<{status: StageStatus; seconds: number}> {
  const {store, home, emit} = context;
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  // Take back what the stage vouched for before anything of it is touched.
  store.stages.begin(stage.name, ingredients);
  emit({type: 'stage_started', stage: stage.name, reason});
  try {
    const result = await stage.run(context, ingredients);
    const outputs = [...(await recordOutputs(result, home, context.signal)), ...recordRows(stage, store)];
    const status = result.status ?? 'done';
    store.stages.finish({
      name: stage.name,
      status,
      ingredients,
      seconds: elapsed(),
      summary: {...result.summary, headline: result.headline},
      outputs,
    });
    if (status === 'skipped') emit({type: 'stage_skipped', stage: stage.name, reason: result.headline});
    else emit({type: 'stage_finished', stage: stage.name, seconds: elapsed(), summary: result.headline});
    return {status: status === 'skipped' ? 'skipped' : 'ran', seconds: elapsed()};
  } catch (error) {
    const interrupted = error instanceof Interrupted || context.signal.aborted;
    store.stages.stop(
      stage.name,
      interrupted ? 'interrupted' : 'failed',
      error instanceof Error ? error.message : String(error),
      elapsed(),
    );
    if (interrupted && !(error instanceof Interrupted)) throw interruptionOf(context.signal);
    throw error;
  }
}

const recordRows = ({rows = {}}: Rows, store: Store): OutputRecord[] =>
  Object.entries(rows).map(([name, digest]) => ({name, path: null, sha256: digest(store), stamp: null}));

async function recordOutputs(result: StageResult, home: string, signal: AbortSignal): Promise<OutputRecord[]> {
  const records: OutputRecord[] = [];
  for (const output of result.outputs) {
    if ('digest' in output) records.push({name: output.name, path: null, sha256: output.digest, stamp: null});
    else {
      for (const file of output.files) {
        const stamp = await stampOf(file);
        if (stamp === null) throw new Error(`A stage reported the output ${file}, which is not there.`);
        records.push({name: output.name, path: path.relative(home, file), sha256: await hashFile(file, signal), stamp});
      }
    }
  }
  return records;
}
