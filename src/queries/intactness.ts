/** Whether all that the stages of a run vouch for is as they left it: every file by its hash, every row by its digest. */
import {damagedRows, filesByHash, type HashedDamage} from '../pipeline/damage.js';
import {stages} from '../stages/index.js';
import type {OpenRun} from './open-run.js';

export interface Intactness {
  /** Files that are vouched for, and their bytes now. */
  readonly files: number;
  readonly bytes: number;
  /** Stages that vouch for anything. */
  readonly stages: number;
  readonly damage: readonly HashedDamage[];
}

/** Reads it all. Throws the signal's reason when aborted. */
export async function intactnessOf(
  {store, paths}: Pick<OpenRun, 'store' | 'paths'>,
  signal: AbortSignal,
): Promise<Intactness> {
  const damage: HashedDamage[] = [];
  let [files, bytes, finished] = [0, 0, 0];
  for (const stage of stages) {
    signal.throwIfAborted();
    const recorded = store.stages.read(stage.name);
    if (recorded?.status !== 'done' && recorded?.status !== 'skipped') continue;
    finished++;
    const found = await filesByHash(recorded.outputs, paths.home, signal);
    files += found.files;
    bytes += found.bytes;
    damage.push(...found.damage, ...damagedRows(stage, recorded, store));
  }
  return {files, bytes, stages: finished, damage};
}
