/** Keeps what a run has come to under another name, NAME@1 or the next free number, while the run itself goes on. */
import {existsSync, renameSync, rmSync} from 'node:fs';
import {hostname} from 'node:os';
import path from 'node:path';
import {runPaths, type RunPaths} from '../home.js';
import {sync} from '../files/publish.js';
import {findResult} from '../pipeline/results.js';
import {take} from '../pipeline/sharing.js';
import type {RunContext} from '../stages/context.js';
import {stages} from '../stages/index.js';
import {openStore, type Store} from '../store/open.js';
import {keepRun} from './keep-runs.js';

/** Returns the name. What was not finished, or is damaged, is not in it; its files take no further room. */
export async function archiveRun(context: RunContext): Promise<string> {
  const {paths, store} = context;
  await keepRun(context);
  let version = 1;
  while (isTaken(runPaths(paths.home, `${paths.run}@${version}`))) version++;
  const archive = runPaths(paths.home, `${paths.run}@${version}`);
  // It comes last, so that an archive which a kill cut short is no run.
  const database = `${archive.database}.new`;
  for (const left of ['', '-wal', '-shm']) rmSync(database + left, {force: true});
  const archived = openStore(database);
  try {
    await takeAll({...context, paths: archive, store: archived, emit: () => {}}, store);
  } finally {
    archived.close();
  }
  renameSync(database, archive.database);
  await sync(path.dirname(archive.database));
  return archive.run;
}

async function takeAll(context: RunContext, from: Store): Promise<void> {
  const {paths, store} = context;
  store.run.take(paths.run, {pid: process.pid, host: hostname(), since: new Date().toISOString()});
  for (const stage of stages) {
    const ingredients = from.stages.read(stage.name)?.ingredients ?? null;
    const kept = ingredients === null ? null : await findResult(context, stage.name, ingredients);
    if (kept !== null) await take(kept, stage, context);
  }
  store.run.setConfig(JSON.stringify(from.run.config()));
}

/** Also by a folder that is somebody else's: nothing is put into it. */
const isTaken = ({database, data, models}: RunPaths): boolean =>
  [database, data, models].some(place => existsSync(place));
