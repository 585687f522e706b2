/** Finds the run from which a new one has least left to do. */
import type {StageName} from '../events.js';
import {inspect, type EngineContext, type Planned} from './run.js';
import type {Stage} from './stage.js';

/**
 * Of runs, each with a context of the new run's settings but its own state, the one with most stages fresh; among equals the one
 * with most ingredients unchanged, whose checkpoints are likelier to serve. Null where none has a fresh stage.
 */
export async function mostAlike<Context extends EngineContext, Run extends {readonly context: Context}>(stages: readonly Stage<Context>[], runs: readonly Run[]): Promise<{run: Run; fresh: StageName[]} | null> {
  let best: {run: Run; fresh: StageName[]; unchanged: number} | null = null;
  for (const run of runs) {
    const plan = await inspect(stages, run.context, {restamp: false});
    const fresh = plan.filter(({verdict}) => verdict.fresh).map(({stage}) => stage.name);
    const unchanged = plan.reduce((sum, planned) => sum + unchangedIngredients(planned, run.context), 0);
    const better = best === null || fresh.length > best.fresh.length || (fresh.length === best.fresh.length && unchanged > best.unchanged);
    if (fresh.length > 0 && better) best = {run, fresh, unchanged};
  }
  return best;
}

function unchangedIngredients<Context extends EngineContext>({stage, ingredients}: Planned<Context>, {store}: Context): number {
  const recorded = store.stages.read(stage.name)?.ingredients ?? {};
  return Object.entries(ingredients).filter(([name, value]) => recorded[name] === value).length;
}
