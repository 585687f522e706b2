/** Whether all that the stages of a run vouch for is as they left it: every file by its hash, every row by its digest. */
import path from 'node:path';
import {damagedRows, filesByHash, type HashedDamage} from '../pipeline/damage.js';
import type {HashOnce} from '../pipeline/file-hash.js';
import {filesOfResult, keptFolders} from '../pipeline/results.js';
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
  {hash, signal}: {readonly hash: HashOnce; readonly signal: AbortSignal},
): Promise<Intactness> {
  const damage: HashedDamage[] = [];
  let [files, bytes, finished] = [0, 0, 0];
  for (const stage of stages) {
    signal.throwIfAborted();
    const recorded = store.stages.read(stage.name);
    if (recorded?.status !== 'done' && recorded?.status !== 'skipped') continue;
    finished++;
    const found = await filesByHash(recorded.outputs, paths.home, {hash, signal});
    files += found.files;
    bytes += found.bytes;
    damage.push(...found.damage, ...damagedRows(stage, recorded, store));
  }
  return {files, bytes, stages: finished, damage};
}

export type KeptIntactness = Omit<Intactness, 'stages'> & {readonly results: number};

/** The same of what the home keeps for all its runs; what a kill cut short was never kept. */
export async function intactnessOfKept(
  home: string,
  {hash, signal}: {readonly hash: HashOnce; readonly signal: AbortSignal},
): Promise<KeptIntactness> {
  const damage: HashedDamage[] = [];
  let [files, bytes, results] = [0, 0, 0];
  for (const {folder, result} of (await keptFolders(home)).filter(({key}) => !key.endsWith('.tmp'))) {
    signal.throwIfAborted();
    results++;
    if (result === null) {
      damage.push({path: path.relative(home, folder), kind: 'changed'});
      continue;
    }
    const kept = filesOfResult(result).map(file => ({...file, path: path.relative(home, file.path)}));
    const found = await filesByHash(kept, home, {hash, signal});
    files += found.files;
    bytes += found.bytes;
    damage.push(...found.damage);
  }
  return {files, bytes, results, damage};
}
