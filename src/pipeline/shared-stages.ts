/** Tells which stages of two runs come out the same, also of runs that are yet to be. */
import type {StageName} from '../events.js';
import type {Stage} from './stage.js';

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
  const unknown = () => null;
  for (const stage of stages) {
    const [ours, theirs] = [await stage.ingredients(one, unknown), await stage.ingredients(other, unknown)];
    const same = Object.keys({...ours, ...theirs}).every(name => ours[name] === theirs[name]);
    const producers = stage.reads.map(reference => reference.split('.')[0]);
    if (same && producers.every(producer => [...shared].some(name => name === producer))) shared.add(stage.name);
  }
  return shared;
}
