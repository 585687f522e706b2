/** Starts a run as a copy of another: its state in SQLite, its files as hard links, so that a copy takes no room. */
import {existsSync} from 'node:fs';
import {copyFile, link, mkdir, readdir, rename, rm} from 'node:fs/promises';
import path from 'node:path';
import {systemCode} from '../errors.js';
import {stageNames, type StageName} from '../events.js';
import type {RunPaths} from '../home.js';
import {publishFile, sync} from '../files/publish.js';
import {besideDatabase, openStore, openStoreToRead, type Store} from '../store/open.js';
import {renameRun} from './rename-run.js';
import {stampOf} from './stamp.js';

/** The file system cannot link: it lies across two, knows no links, or has as many of a file as it can. */
const CANNOT_LINK = ['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

export interface CopyOptions {
  /** Stages of `origin` whose results are the new run's as well. */
  readonly fresh: readonly StageName[];
  /** Runs that share files with `origin`. */
  readonly relatives: readonly RunPaths[];
  /** Whether the copy tells of the origin's work as its own: its config, its events, its curves. */
  readonly history: boolean;
}

/**
 * Copies `origin`, which nobody may be working on, to `target`, which has no database yet: the results of its `fresh`
 * stages, and what trainings and scorings can go on from. The results of the others are not the new run's. Files are
 * published by rename and never changed in place, so one that is shared stays what it was. Linking a file renews its
 * change time, and with it the stamp by which `origin` and the runs copied before (`relatives`) trust it: theirs are
 * renewed too. The database comes last: a kill before leaves files that the next copy replaces, and stamps that cost
 * hashing once.
 */
export async function copyRun(
  origin: RunPaths,
  target: RunPaths,
  {fresh, relatives, history}: CopyOptions,
): Promise<{readonly linked: boolean}> {
  let linked = true;
  const others = stageNames.filter(name => !fresh.includes(name));
  const results = resultsOf(origin, others);
  /** New stamps by old ones: of the shared files, and of the files as the copy has them. */
  const renewed = new Map<string, string>();
  const copied = new Map<string, string>();
  for (const [from, to] of [
    [origin.data, target.data],
    [origin.models, target.models],
  ] as const) {
    const folders = new Set<string>();
    for (const file of await filesIn(from, [...(history ? [] : leftOut(origin)), ...results])) {
      const destination = path.join(to, path.relative(from, file));
      const before = await stampOf(file);
      await mkdir(path.dirname(destination), {recursive: true});
      if (!(await linkOrCopy(file, destination))) linked = false;
      folders.add(path.dirname(destination));
      const [after, there] = [await stampOf(file), await stampOf(destination)];
      if (before === null || after === null || there === null)
        throw new Error(`${file} went away while it was copied.`);
      if (after !== before) renewed.set(before, after);
      copied.set(before, there);
    }
    for (const folder of folders) await sync(folder);
  }
  await publishFile(target.database, temporary =>
    copyDatabase(origin, target, {file: temporary, others, copied, history}),
  );
  for (const {database} of [origin, ...relatives]) {
    const store = openStore(database);
    try {
      store.atomically(() => {
        store.stages.renewStamps(renewed);
        store.packs.renewStamps(renewed);
      });
    } finally {
      store.close();
    }
  }
  return {linked};
}

/** What tells of the other run's work, and is no result of it. */
const leftOut = ({attempts, data}: RunPaths): readonly string[] => [attempts, path.join(data, 'tensorboard')];

/** The files that stages vouch for; but what a source lists is the same for every run of it. */
function resultsOf({home, database, listings}: RunPaths, names: readonly StageName[]): string[] {
  const store = openStoreToRead(database);
  if (store === null) throw new Error(`${database} went away while it was copied.`);
  try {
    return names
      .flatMap(name => store.stages.read(name)?.outputs ?? [])
      .flatMap(output => (output.path === null ? [] : [path.join(home, output.path)]))
      .filter(file => !file.startsWith(listings + path.sep));
  } finally {
    store.close();
  }
}

/** Every file below a folder, less the files and folders left out and what a killed process left half written. */
async function filesIn(folder: string, without: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  // A run of which only a part was asked for may have made nothing for one of its folders yet.
  for (const entry of existsSync(folder) ? await readdir(folder, {withFileTypes: true}) : []) {
    const found = path.join(folder, entry.name);
    if (entry.name.endsWith('.tmp') || without.includes(found)) continue;
    if (entry.isDirectory()) files.push(...(await filesIn(found, without)));
    else if (entry.isFile()) files.push(found);
  }
  return files;
}

/** Whether it could be linked. What stands there of an earlier attempt is replaced. */
async function linkOrCopy(file: string, destination: string): Promise<boolean> {
  await rm(destination, {recursive: true, force: true});
  try {
    await link(file, destination);
    return true;
  } catch (error) {
    if (!CANNOT_LINK.includes(systemCode(error) ?? '')) throw error;
    await copyFile(file, `${destination}.tmp`);
    await sync(`${destination}.tmp`);
    await rename(`${destination}.tmp`, destination);
    return false;
  }
}

async function copyDatabase(
  origin: RunPaths,
  target: RunPaths,
  {
    file,
    others,
    copied,
    history,
  }: {
    readonly file: string;
    readonly others: readonly StageName[];
    readonly copied: ReadonlyMap<string, string>;
    readonly history: boolean;
  },
): Promise<void> {
  const original = openStoreToRead(origin.database);
  if (original === null) throw new Error(`${origin.database} went away while it was copied.`);
  try {
    // A log that a killed copy or a deleted database left behind would be taken for the new one's.
    for (const left of [...besideDatabase(file), ...besideDatabase(target.database)]) await rm(left, {force: true});
    await original.backup(file);
  } finally {
    original.close();
  }
  const copy = openStore(file);
  try {
    copy.atomically(() => {
      for (const name of others) forget(copy, name);
      renameRun(copy, origin, target, copied);
      // Of stages whose results were left out.
      copy.pool.keepFolders(folder => existsSync(path.join(target.pool, folder)));
      if (history) return;
      copy.run.forgetConfig();
      copy.events.forgetHistory();
    });
  } finally {
    copy.close();
  }
}

/** Takes back what a stage recorded. What an unfinished one set aside stays, as part of what it goes on from. */
function forget({stages, quarantine}: Store, name: StageName): void {
  const status = stages.read(name)?.status;
  if (status === 'done' || status === 'skipped') quarantine.forget(name);
  stages.forget(name);
}
