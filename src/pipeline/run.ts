/**
 * The engine: takes stages in order, skips the fresh, takes what is kept, runs the rest, and records each before the next
 * begins. It knows no stage by name.
 */
import {createHash} from 'node:crypto';
import path from 'node:path';
import {stageNames, type StageName, type StageStatus} from '../events.js';
import {Interrupted, interruptionOf, throwIfStopped, UserError} from '../errors.js';
import type {RecordedStatus} from '../store/stages.js';
import type {Store} from '../store/open.js';
import {damageOf} from './damage.js';
import {verdict, type Verdict} from './freshness.js';
import {recordOutputs, recordRows} from './record.js';
import {findResult, type Result} from './results.js';
import {keepFinished, take, waitForMaker, type SharingContext} from './sharing.js';
import type {Earlier, Ingredients, Stage} from './stage.js';

/** What the engine needs of a context; stages need more. */
export type EngineContext = SharingContext;

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
  /** What it would come to is kept, and is taken in the place of running it; null where it must run, or need not. */
  readonly kept: Result | null;
}

/**
 * SHA-256 of a product, `stage.output`, as it is recorded. Null where there is none.
 */
export function productDigest({stages}: Store, reference: string): string | null {
  const [producer = '', name = ''] = reference.split('.');
  return digestOfProduct(stages.read(producer)?.outputs ?? [], name);
}

/**
 * Of the hashes of its files with their names, or of the digest of its rows. It knows no folder, so that it is the same
 * in every run that has it.
 */
function digestOfProduct(
  outputs: readonly {readonly name: string; readonly path: string | null; readonly sha256: string}[],
  name: string,
): string | null {
  const parts = outputs.filter(output => output.name === name);
  if (parts.length === 0) return null;
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.path === null ? '' : path.basename(part.path)} ${part.sha256}\n`);
  return hash.digest('hex');
}

/** The same of a result that is kept. */
export const digestOfKept = ({outputs}: Result, name: string): string | null =>
  digestOfProduct(
    outputs.map(({file, ...output}) => ({...output, path: file})),
    name,
  );

/** What becomes of a stage that is not fresh: it is made anew but for these products, or its result is taken. */
type Coming = {readonly unaffected: readonly string[]} | Result;

/** The digest of a product as it will be; null where that is not known before its stage has run. */
function digestToBe(store: Store, reference: string, coming: ReadonlyMap<string, Coming>): string | null {
  const [producer = '', name = ''] = reference.split('.');
  const change = coming.get(producer);
  if (change === undefined) return productDigest(store, reference);
  if ('outputs' in change) return digestOfKept(change, name);
  return change.unaffected.includes(name) ? productDigest(store, reference) : null;
}

/**
 * The verdict on every stage as things stand; what a stage will make anew is not known to those that read it. Throws
 * (exit 2) where what is wanted cannot be run yet, or would rest on a result of other settings that is not wanted anew.
 */
export async function inspect<Context extends EngineContext>(
  stages: readonly Stage<Context>[],
  context: Context,
  wanted: Wanted = {},
): Promise<Planned<Context>[]> {
  const planned: Planned<Context>[] = [];
  const coming = new Map<string, Coming>();
  /** Of the stages that stay as they are and are out of date: themselves, or the stage below that is, in words. */
  const outdated = new Map<string, string>();
  for (const stage of stages) {
    const plan = await inspectOne(stage, context, {coming, wanted});
    const {fresh, reason} = plan.verdict;
    const below = stage.reads.map(reference => outdated.get(producerOf(reference))).find(found => found !== undefined);
    if (plan.wanted && !fresh) {
      requireFoundation(plan, coming);
      if (below !== undefined)
        throw new UserError(
          'STALE_STAGE',
          `${stage.name} would rest on a result of other settings: ${below}. Run pupil orchestrate without --from and --only first, or put the settings back.`,
        );
      const {changed} = plan.verdict;
      coming.set(
        stage.name,
        plan.kept ?? {unaffected: changed.length === 0 ? [] : (stage.unaffected?.(changed) ?? [])},
      );
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
  {coming, wanted}: {readonly coming: ReadonlyMap<string, Coming>; readonly wanted: Wanted},
): Promise<Omit<Planned<Context>, 'stands'>> {
  const {store} = context;
  const recorded = store.stages.read(stage.name);
  const pending: string[] = [];
  const read: Record<string, string> = {};
  for (const reference of stage.reads) {
    const digest = digestToBe(store, reference, coming);
    if (digest === null) pending.push(reference);
    else read[reference] = digest;
  }
  const earlier: Earlier = name => {
    const change = coming.get(name);
    if (change !== undefined && 'outputs' in change) return change.summary;
    const record = store.stages.read(name);
    return record?.ingredients == null ? null : record.summary;
  };
  const ingredients = {version: String(stage.version), ...(await stage.ingredients(context, earlier)), ...read};
  const damage = recorded === null ? [] : await damageOf(stage, recorded, {store, home: context.paths.home});
  const found = verdict(recorded, ingredients, damage, pending);
  const asked = forced(stage.name, wanted);
  const isOpen = isWanted(stage.name, wanted) && asked === null && !found.fresh && pending.length === 0;
  const kept = isOpen ? await findResult(context, stage.name, ingredients) : null;
  const holds =
    kept !== null && (stage.holds?.(kept.summary, context, reference => digestToBe(store, reference, coming)) ?? true);
  return {
    stage,
    wanted: isWanted(stage.name, wanted),
    verdict: found.fresh && asked !== null ? {fresh: false, reason: asked, outdated: false, changed: []} : found,
    ingredients,
    kept: holds ? kept : null,
  };
}

/** Refuses (exit 2) a stage that reads what was never made, and is not about to be. */
function requireFoundation<Context>(
  {stage, ingredients}: Pick<Planned<Context>, 'stage' | 'ingredients'>,
  coming: ReadonlyMap<string, unknown>,
): void {
  for (const reference of stage.reads) {
    const producer = producerOf(reference);
    if (reference in ingredients || coming.has(producer)) continue;
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

/**
 * Runs what is stale among the wanted stages, and is not kept. `ready` is asked for the context that they are run with
 * before the first of them is. Returns what became of each, with its seconds.
 */
export async function runStages<Context extends EngineContext>(
  stages: readonly Stage<Context>[],
  context: Context,
  wanted: Wanted,
  ready: () => Promise<Context> = () => Promise.resolve(context),
): Promise<Partial<Record<StageName, {status: StageStatus; seconds: number}>>> {
  const outcome: Partial<Record<StageName, {status: StageStatus; seconds: number}>> = {};
  for (const stage of stages) {
    if (!isWanted(stage.name, wanted)) continue;
    throwIfStopped(context.signal);
    outcome[stage.name] = await bringStageUpToDate(stage, context, wanted, ready);
  }
  return outcome;
}

/**
 * Takes a stage as it is, or its kept result, or runs it. Of runs that need the same at once, one makes it:
 * 1. where another run makes it already, this one waits, and looks again;
 * 2. else it begins, which the others see from then on;
 * 3. where another one began before it, between the two, it takes that back, and is at 1 again;
 * 4. else it runs the stage, and keeps what that made.
 */
async function bringStageUpToDate<Context extends EngineContext>(
  stage: Stage<Context>,
  context: Context,
  wanted: Wanted,
  ready: () => Promise<Context>,
): Promise<{status: StageStatus; seconds: number}> {
  const {store, emit} = context;
  const plan = await inspectOne(stage, context, {coming: new Map(), wanted});
  const {fresh, reason} = plan.verdict;
  const recorded = store.stages.read(stage.name);
  const asIs = (): {status: StageStatus; seconds: number} => ({
    status: store.stages.read(stage.name)?.status === 'skipped' ? 'skipped' : 'fresh',
    seconds: 0,
  });
  if (fresh) {
    emit({type: 'stage_fresh', stage: stage.name, reason});
    await keepFinished(stage, context);
    return asIs();
  }
  requireFoundation(plan, new Map());
  if (plan.kept !== null && (await take(plan.kept, stage, context))) {
    emit({type: 'stage_taken', stage: stage.name, from: plan.kept.run});
    return asIs();
  }
  const isAsked = forced(stage.name, wanted) !== null;
  if (!isAsked && (await waitForMaker(stage.name, plan.ingredients, context)))
    return await bringStageUpToDate(stage, context, wanted, ready);
  const able = await ready();
  // Take back what the stage vouched for before anything of it is touched.
  store.stages.begin(stage.name, plan.ingredients);
  const {startedAt = null} = store.stages.read(stage.name) ?? {};
  if (!isAsked && context.makerOf(stage.name, plan.ingredients, startedAt) !== null) {
    store.stages.forget(stage.name);
    return await bringStageUpToDate(stage, context, wanted, ready);
  }
  const ended = await runOne(plan, able, startingWords(recorded?.status, reason));
  await keepFinished(stage, context);
  return ended;
}

/** Why a stage starts, as is said when it does: what it failed with last time was told then. */
const startingWords = (recorded: RecordedStatus | undefined, reason: string): string =>
  recorded === undefined ? 'starting' : recorded === 'failed' ? 'again, after it failed' : reason;

/** Runs a stage that has begun. */
async function runOne<Context extends EngineContext>(
  {stage, ingredients}: Pick<Planned<Context>, 'stage' | 'ingredients'>,
  context: Context,
  reason: string,
): Promise<{status: StageStatus; seconds: number}> {
  const {store, emit} = context;
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  emit({type: 'stage_started', stage: stage.name, reason});
  try {
    const result = await stage.run(context, ingredients);
    const outputs = [...(await recordOutputs(result, context)), ...recordRows(stage, store)];
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
