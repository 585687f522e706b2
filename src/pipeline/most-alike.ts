/** Finds the run from which a new one has least left to do. */
import type {StageName} from '../events.js';
import {inspect, type EngineContext, type Planned} from './run.js';
import type {Stage} from './stage.js';

/**
 * Of runs, each with a context of the new run's settings but its own state, the one with most stages fresh; among
 * equals the one with most ingredients unchanged, whose checkpoints are likelier to serve. Null where none has a fresh
 * stage.
 */
export async function mostAlike<Context extends EngineContext, Run extends {readonly context: Context}>(
  stages: readonly Stage<Context>[],
  runs: readonly Run[],
): Promise<{run: Run; fresh: StageName[]} | null> {
  let best: {run: Run; fresh: StageName[]; unchanged: number} | null = null;
  for (const run of runs) {
    const plan = await inspect(stages, run.context, {restamp: false});
    const fresh = plan.filter(({verdict}) => verdict.fresh).map(({stage}) => stage.name);
    const unchanged = plan.reduce((sum, planned) => sum + unchangedIngredients(planned, run.context), 0);
    const better =
      best === null ||
      fresh.length > best.fresh.length ||
      (fresh.length === best.fresh.length && unchanged > best.unchanged);
    if (fresh.length > 0 && better) best = {run, fresh, unchanged};
  }
  return best;
}

function unchangedIngredients<Context extends EngineContext>(
  {stage, ingredients}: Planned<Context>,
  {store}: Context,
): number {
  const recorded = store.stages.read(stage.name)?.ingredients ?? {};
  return Object.entries(ingredients).filter(([name, value]) => recorded[name] === value).length;
}

/**
 * Stages that come out the same under both contexts' settings: their own ingredients are the same, and those of all
 * that they read. It looks at no state, so that it can be asked of runs that are yet to be.
 */
export async function sharedStages<Context>(
  stages: readonly Stage<Context>[],
  one: Context,
  other: Context,
): Promise<Set<StageName>> {
  const shared = new Set<StageName>();
  for (const stage of stages) {
    const [ours, theirs] = [await stage.ingredients(one), await stage.ingredients(other)];
    const same = Object.keys({...ours, ...theirs}).every(name => ours[name] === theirs[name]);
    const producers = stage.reads.map(reference => reference.split('.')[0]);
    if (same && producers.every(producer => [...shared].some(name => name === producer))) shared.add(stage.name);
  }
  return shared;
}
