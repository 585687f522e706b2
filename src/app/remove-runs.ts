/** Removes runs from a home: their records, and all that their stages made. */
import {existsSync, readdirSync} from 'node:fs';
import {lstat, readdir, rm, rmdir, unlink} from 'node:fs/promises';
import path from 'node:path';
import {didYouMean} from '../did-you-mean.js';
import {systemCode, UserError} from '../errors.js';
import {databaseFolder, runPaths, type RunPaths} from '../home.js';
import {countFreed} from '../files/freed-bytes.js';
import {explainFault} from '../machine-fault.js';
import {removeKnown} from '../pipeline/file-hash.js';
import {discardResult} from '../pipeline/results.js';
import {configOf, openWhereSound, runsOf} from '../queries/open-run.js';
import {isOfRun, isWithin, realOf} from '../stages/run-folders.js';
import {openFileHashes} from '../store/file-hashes.js';
import {takeLock} from '../store/lock.js';
import {besideDatabase} from '../store/open.js';
import {heldError} from './held-run.js';
import {openNeeds} from './needed-results.js';

export interface Removal {
  readonly run: string;
  /** What is gained by it: files that other runs have as well, by links, take their room until those are gone, too. */
  readonly bytes: number;
  /** What is kept of it, and no run needs that stays. */
  readonly results: readonly string[];
}

/**
 * What removing these runs would free. Throws (exit 2) where there is no such run, or a run that stays has its teacher
 * from one of them.
 */
export async function planRemoval(home: string, runs: readonly string[]): Promise<Removal[]> {
  const known = runsOf(home);
  for (const run of runs) {
    if (!known.includes(run))
      throw new UserError(
        'NO_SUCH_RUN',
        `There is no run ${JSON.stringify(run)} in ${home}; nothing was removed.${didYouMean(run, known)}`,
      );
  }
  for (const other of known.filter(name => !runs.includes(name))) {
    const files = teacherFilesOf(home, other);
    const needed = runs.find(run => files.some(file => isWithin(realOf(file), realOf(runPaths(home, run).models))));
    if (needed !== undefined)
      throw new UserError(
        'RUN_IN_USE',
        `${other} has its teacher from ${needed}; nothing was removed. Remove both: pupil rm ${[...runs, other].join(' ')}`,
      );
  }
  const kept = await keptOf(home, runs);
  const removals: Removal[] = [];
  const removed = new Set<string>();
  const freed = countFreed();
  for (const [index, run] of runs.entries()) {
    const results = kept(new Set(runs.slice(0, index + 1))).filter(folder => !removed.has(folder));
    for (const folder of results) removed.add(folder);
    const before = freed.bytes();
    await freed.add([...placesOf(runPaths(home, run)), ...results]);
    removals.push({run, bytes: freed.bytes() - before, results});
  }
  return removals;
}

const placesOf = ({database, data, models}: RunPaths): string[] => [
  database,
  ...[data, models].flatMap(folder =>
    (existsSync(folder) ? readdirSync(folder) : []).filter(isOfRun).map(name => path.join(folder, name)),
  ),
];

/**
 * Tells the folders of what is kept that some of these runs made or have, and no other run needs. None where another run
 * cannot be read, of which nobody knows what it needs: pupil gc tells.
 */
async function keptOf(home: string, runs: readonly string[]): Promise<(gone: ReadonlySet<string>) => string[]> {
  try {
    const unneeded = await openNeeds(
      home,
      runs.filter(run => !isSound(home, run)),
    );
    const anyway = new Set(unneeded().map(({folder}) => folder));
    return gone =>
      unneeded(gone).flatMap(({folder, result}) =>
        !anyway.has(folder) || (result !== null && gone.has(result.run)) ? [folder] : [],
      );
  } catch (error) {
    if (error instanceof UserError) return () => [];
    throw error;
  }
}

function isSound(home: string, run: string): boolean {
  const store = openWhereSound(runPaths(home, run).database);
  store?.close();
  return store !== null;
}

/** The files that a run's teacher was made of. A run that cannot be read needs none. */
function teacherFilesOf(home: string, run: string): string[] {
  const store = openWhereSound(runPaths(home, run).database);
  if (store === null) return [];
  try {
    const {file, classes} = configOf(store, run).teacher;
    return [file, classes].filter(given => typeof given === 'string');
  } catch (error) {
    if (error instanceof UserError) return [];
    throw error;
  } finally {
    store.close();
  }
}

/**
 * Removes a run; its records go last, so that the same command goes on where it was cut short. Returns what lies in its
 * folders and is not its own: that stays. Throws (exit 75) where it is being worked on.
 */
export async function removeRun(paths: RunPaths, {results}: Pick<Removal, 'results'>): Promise<string[]> {
  const lock = takeLock(paths.lock);
  if (lock === null) throw heldError(paths);
  const left: string[] = [];
  const hashes = openFileHashes(databaseFolder(paths.home), {readonly: false});
  try {
    const {data, models, database} = paths;
    for (const folder of results) await discardResult({folder}, {hashes});
    for (const folder of [models, data].filter(place => existsSync(place))) {
      for (const name of await readdir(folder)) {
        if (isOfRun(name)) await removeKnown(path.join(folder, name), hashes);
        else left.push(path.join(folder, name));
      }
      if ((await readdir(folder)).length === 0) await removeEmpty(folder);
    }
    for (const file of [...besideDatabase(database), database]) await rm(file, {force: true});
  } catch (error) {
    throw explainFault(error, paths);
  } finally {
    // Its file stays, as of one that was unlinked two could hold a lock each.
    lock.release();
    hashes.close();
  }
  return left;
}

/** A link goes, and what it leads to stays, as does a folder that is a disk of its own. */
async function removeEmpty(folder: string): Promise<void> {
  if ((await lstat(folder)).isSymbolicLink()) await unlink(folder);
  else
    await rmdir(folder).catch((error: unknown) => {
      if (systemCode(error) !== 'EBUSY') throw error;
    });
}
