/**
 * What is no longer as a finished stage left it: its files, its rows of the database, and the record that tells of
 * them.
 */
import {stat} from 'node:fs/promises';
import path from 'node:path';
import {systemCode} from '../errors.js';
import type {Store} from '../store/open.js';
import type {OutputRecord, StageRecord} from '../store/stages.js';
import type {Damage} from './freshness.js';
import {hashFile, stampOf} from './stamp.js';
import type {Stage} from './stage.js';

/** The part of a stage that tells of its rows. */
export type Rows = Pick<Stage<never>, 'name' | 'rows'>;

/** All of it. `restamp` records the new stamp of a file whose bytes did not change. */
export async function damageOf(
  stage: Rows,
  recorded: StageRecord,
  {store, home}: {readonly store: Store; readonly home: string},
  restamp: (relative: string, stamp: string) => void,
): Promise<Damage[]> {
  return [...(await damagedFiles(recorded.outputs, home, restamp)), ...damagedRows(stage, recorded, store)];
}

/** Looks at each recorded file. A stamp that changed is forgiven where the bytes did not. */
export async function damagedFiles(
  outputs: readonly OutputRecord[],
  home: string,
  restamp: (relative: string, stamp: string) => void,
): Promise<Damage[]> {
  const damage: Damage[] = [];
  for (const output of outputs) {
    if (output.path === null) continue;
    const stamp = await stampOf(path.join(home, output.path));
    if (stamp === null) damage.push({path: output.path, kind: 'missing'});
    else if (stamp !== output.stamp) {
      if ((await hashFile(path.join(home, output.path))) === output.sha256) restamp(output.path, stamp);
      else damage.push({path: output.path, kind: 'changed'});
    }
  }
  return damage;
}

/** What hashing a file found wrong with it. */
export type HashedDamage = Damage | {readonly path: string; readonly kind: 'unreadable'; readonly detail: string};

/** Hashes each recorded file, whatever its stamp says; one that cannot be read holds up none of the others. */
export async function filesByHash(
  outputs: readonly OutputRecord[],
  home: string,
  signal: AbortSignal,
): Promise<{readonly files: number; readonly bytes: number; readonly damage: HashedDamage[]}> {
  const damage: HashedDamage[] = [];
  let [files, bytes] = [0, 0];
  for (const output of outputs) {
    if (output.path === null) continue;
    const file = path.join(home, output.path);
    files++;
    try {
      bytes += (await stat(file)).size;
      if ((await hashFile(file, signal)) !== output.sha256) damage.push({path: output.path, kind: 'changed'});
    } catch (error) {
      const code = systemCode(error);
      if (code === null) throw error;
      damage.push(
        ['ENOENT', 'ENOTDIR'].includes(code)
          ? {path: output.path, kind: 'missing'}
          : {path: output.path, kind: 'unreadable', detail: code},
      );
    }
  }
  return {files, bytes, damage};
}

/**
 * Reads all rows that the stage vouches for. No stamp spares it: nothing that is cheap to ask of a database tells that
 * no byte of it changed.
 */
export function damagedRows({name, rows = {}}: Rows, recorded: StageRecord, store: Store): Damage[] {
  const damage: Damage[] = recorded.isIntact ? [] : [{path: `the record of ${name} in the database`, kind: 'changed'}];
  if (recorded.status !== 'done' && recorded.status !== 'skipped') return damage;
  for (const [product, digest] of Object.entries(rows)) {
    const output = recorded.outputs.find(candidate => candidate.name === product && candidate.path === null);
    if (output === undefined) damage.push({path: `the digest of ${name}.${product}`, kind: 'missing'});
    else if (digest(store) !== output.sha256)
      damage.push({path: `what the database holds of ${name}.${product}`, kind: 'changed'});
  }
  return damage;
}
