/** Finds the run that a question is about, and opens its state for reading. */
import {existsSync, readdirSync, statSync} from 'node:fs';
import path from 'node:path';
import {configSchema, type Config} from '../config/schema.js';
import {didYouMean} from '../did-you-mean.js';
import {UserError} from '../errors.js';
import type {StageName} from '../events.js';
import {databaseFolder, runPaths, type RunPaths} from '../home.js';
import {damagedFiles, damagedRows} from '../pipeline/damage.js';
import type {Damage} from '../pipeline/freshness.js';
import {productDigest} from '../pipeline/run.js';
import {stages} from '../stages/index.js';
import {openStoreToRead, type Store} from '../store/open.js';

/** Which run is meant: the one that was written last, unless it is named. */
export interface RunName {
  readonly home: string;
  readonly run?: string | undefined;
}

/** Names of the runs of a home, the one that was written last first. */
export function runsOf(home: string): string[] {
  const folder = databaseFolder(home);
  if (!existsSync(folder)) return [];
  // Whoever only looks leaves an empty WAL behind, which is no sign of work.
  const written = (name: string) =>
    Math.max(
      ...['', '-wal']
        .map(suffix => statSync(path.join(folder, name + suffix), {throwIfNoEntry: false}))
        .map(found => (found && found.size > 0 ? found.mtimeMs : 0)),
    );
  return readdirSync(folder)
    .filter(name => name.endsWith('.sqlite'))
    .sort((a, b) => written(b) - written(a))
    .map(name => name.slice(0, -'.sqlite'.length));
}

export interface OpenRun {
  readonly paths: RunPaths;
  readonly store: Store;
  readonly config: Config;
}

/** More are found with pupil runs. */
const RUNS_NAMED = 12;

/** Opens the named run, or the one that was written last. Close its store. Throws (exit 2) where there is none. */
export function openRun({home, run}: RunName): OpenRun {
  const runs = runsOf(home);
  const [latest] = runs;
  if (latest === undefined)
    throw new UserError(
      'NO_SUCH_RUN',
      `There is no run in ${home}. Start one with pupil orchestrate, or name its home with --home DIR.`,
    );
  const chosen = run ?? latest;
  const paths = runPaths(home, chosen);
  // Of those that lie there: a name is no path.
  const store = runs.includes(chosen) ? openStoreToRead(paths.database) : null;
  if (store === null)
    throw new UserError(
      'NO_SUCH_RUN',
      `There is no run ${JSON.stringify(chosen)} in ${home}.${runs.length <= RUNS_NAMED ? ` Runs there: ${runs.join(', ')}.` : ` See its ${runs.length} with pupil runs.`}${didYouMean(chosen, runs)}`,
    );
  try {
    return {paths, store, config: configOf(store, chosen)};
  } catch (error) {
    store.close();
    throw error;
  }
}

/**
 * Throws (exit 4) where the database no longer holds what one of these stages left there: nothing altered is shown as
 * true.
 */
export function requireIntact({store, paths}: Pick<OpenRun, 'store' | 'paths'>, ...names: readonly StageName[]): void {
  for (const stage of stages.filter(({name}) => names.includes(name))) {
    const recorded = store.stages.read(stage.name);
    const [damage] = recorded === null ? [] : damagedRows(stage, recorded, store);
    if (damage) throw damagedError(paths.run, damage);
  }
}

/** Throws (exit 4) where a file of a finished stage's product is not as it was left. */
export async function requireFiles(
  {store, paths}: Pick<OpenRun, 'store' | 'paths'>,
  stage: StageName,
  product: string,
): Promise<void> {
  const outputs = store.stages.read(stage)?.outputs.filter(({name}) => name === product) ?? [];
  const [damage] = await damagedFiles(outputs, {store, home: paths.home});
  if (damage) throw damagedError(paths.run, damage);
}

/**
 * The stage that has made something else, or nothing yet, since this one rested on it; null where its result still
 * rests on what the run holds, or there is none.
 */
export function movedOn({store}: Pick<OpenRun, 'store'>, name: StageName): string | null {
  const recorded = store.stages.read(name);
  const {reads} = stages.find(stage => stage.name === name)!;
  const other =
    recorded?.status === 'done'
      ? reads.find(reference => productDigest(store, reference) !== recorded.ingredients?.[reference])
      : undefined;
  return other?.split('.')[0] ?? null;
}

/** Null for a database that cannot be read, which holds up no other run. */
export function openWhereSound(database: string): Store | null {
  try {
    return openStoreToRead(database);
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** The refusal of a run of which something is no longer what a stage left. */
export const damagedError = (run: string, {path: damaged, kind}: Damage): UserError =>
  new UserError(
    'DAMAGED_RESULT',
    `Run ${run}: ${damaged} is ${kind === 'missing' ? 'missing' : 'not what was written'}. Run pupil orchestrate, which makes it anew.`,
  );

export function configOf(store: Store, run: string): Config {
  const stored = store.run.config();
  if (stored === null)
    throw new UserError('NO_SUCH_RUN', `Run ${run} has not started yet. Start it with pupil orchestrate.`);
  const parsed = configSchema.safeParse(stored);
  if (!parsed.success) {
    throw new UserError(
      'OTHER_VERSION',
      `The configuration of run ${run} was written by another version of pupil. Run pupil orchestrate again with it; nothing that still stands is done again.`,
      {cause: parsed.error},
    );
  }
  return parsed.data;
}
