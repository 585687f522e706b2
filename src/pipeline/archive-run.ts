/**
 * Moves a run aside, whole, as NAME@1 or the next free number: files by rename, the database as a copy, since others
 * may hold it open.
 */
import {existsSync} from 'node:fs';
import {rename, rm} from 'node:fs/promises';
import path from 'node:path';
import {runPaths, type RunPaths} from '../home.js';
import {publishFile, sync} from '../files/publish.js';
import {besideDatabase, openStore, type Store} from '../store/open.js';
import {renameRun} from './rename-run.js';

/**
 * Closes the store. Returns the new name. SQLite's own copy holds every commit, whoever reads; a renamed file would
 * lack those that a reader keeps in the log beside it. The name is given up first and the database last: whatever a
 * kill leaves is named for what it becomes, and the next call goes on with that.
 */
export async function archiveRun(paths: RunPaths, store: Store): Promise<string> {
  const archive = archiveOf(paths, store);
  try {
    await move(paths.data, archive.data);
    await move(paths.models, archive.models);
    await publishFile(archive.database, temporary => copyDatabase(paths, archive, store, temporary));
  } finally {
    store.close();
  }
  // A reader goes on with what it has open.
  for (const file of [paths.database, ...besideDatabase(paths.database)]) await rm(file, {force: true});
  await sync(path.dirname(paths.database));
  return archive.run;
}

/** The name that an archiving which was cut short gave the run, or the next free one, which it has from now on. */
function archiveOf({home, run}: RunPaths, store: Store): RunPaths {
  const begun = store.run.name();
  if (begun?.startsWith(`${run}@`)) return runPaths(home, begun);
  let version = 1;
  const own = runPaths(home, run);
  // A folder of that name is somebody else's while the run's own is still there: nothing is moved upon it.
  const isTaken = ({database, data, models}: RunPaths) =>
    existsSync(database) ||
    [
      [own.data, data],
      [own.models, models],
    ].some(pair => pair.every(folder => existsSync(folder)));
  while (isTaken(runPaths(home, `${run}@${version}`))) version++;
  const archive = runPaths(home, `${run}@${version}`);
  store.run.rename(archive.run);
  return archive;
}

async function move(from: string, to: string): Promise<void> {
  if (!existsSync(from)) return;
  await rename(from, to);
  await sync(path.dirname(to));
}

async function copyDatabase(paths: RunPaths, archive: RunPaths, store: Store, file: string): Promise<void> {
  await store.backup(file);
  const copy = openStore(file);
  try {
    copy.atomically(() => renameRun(copy, paths, archive));
  } finally {
    copy.close();
  }
}
