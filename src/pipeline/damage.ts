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
import {stateOf, type HashOnce} from './file-hash.js';
import type {Stage} from './stage.js';

/** The part of a stage that tells of its rows. */
export type Rows = Pick<Stage<never>, 'name' | 'rows'>;

/** All of it. */
export async function damageOf(
  stage: Rows,
  recorded: StageRecord,
  {store, home}: {readonly store: Store; readonly home: string},
): Promise<Damage[]> {
  return [...(await damagedFiles(recorded.outputs, {store, home})), ...damagedRows(stage, recorded, store)];
}

/** Looks at each recorded file, and reads those that are not known as they are. */
export async function damagedFiles(
  outputs: readonly OutputRecord[],
  {store, home}: {readonly store: Pick<Store, 'hashes'>; readonly home: string},
): Promise<Damage[]> {
  const damage: Damage[] = [];
  for (const output of outputs) {
    if (output.path === null) continue;
    const state = await stateOf(path.join(home, output.path), output.sha256, store.hashes);
    if (state !== 'whole') damage.push({path: output.path, kind: state});
  }
  return damage;
}

/** What hashing a file found wrong with it. */
export type HashedDamage = Damage | {readonly path: string; readonly kind: 'unreadable'; readonly detail: string};

/**
 * Hashes each recorded file, whatever is known of it; one that cannot be read holds up none of the others. Paths are
 * those of `folder`.
 */
export async function filesByHash(
  outputs: readonly {readonly path: string | null; readonly sha256: string}[],
  folder: string,
  {hash, signal}: {readonly hash: HashOnce; readonly signal: AbortSignal},
): Promise<{readonly files: number; readonly bytes: number; readonly damage: HashedDamage[]}> {
  const damage: HashedDamage[] = [];
  let [files, bytes] = [0, 0];
  for (const output of outputs) {
    if (output.path === null) continue;
    const file = path.join(folder, output.path);
    files++;
    try {
      bytes += (await stat(file)).size;
      if ((await hash(file, signal)) !== output.sha256) damage.push({path: output.path, kind: 'changed'});
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
