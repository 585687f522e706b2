/** Starts a run as a copy of another: its state in SQLite, its files as hard links, so that a copy takes no room. */
import {copyFile, link, mkdir, readdir, rename, rm} from 'node:fs/promises';
import path from 'node:path';
import {systemCode} from '../errors.js';
import type {RunPaths} from '../home.js';
import {publishFile, sync} from '../publish.js';
import {besideDatabase, openStore, openStoreToRead} from '../store/open.js';
import {renameRun} from './rename-run.js';
import {stampOf} from './stamp.js';

/** The file system cannot link: it lies across two, knows no links, or has as many of a file as it can. */
const CANNOT_LINK = ['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

/**
 * Copies `origin`, which nobody may be working on, to `target`, which has no database yet. Files are published by rename and never
 * changed in place, so one that is shared stays what it was. Linking a file renews its change time, and with it the stamp by
 * which `origin` and the runs copied before (`relatives`) trust it: theirs are renewed too. The database comes last: a
 * kill before leaves files that the next copy replaces, and stamps that cost hashing once.
 */
export async function copyRun(origin: RunPaths, target: RunPaths, relatives: readonly RunPaths[]): Promise<{readonly linked: boolean}> {
  let linked = true;
  /** New stamps by old ones: of the shared files, and of the files as the copy has them. */
  const renewed = new Map<string, string>();
  const copied = new Map<string, string>();
  for (const [from, to] of [[origin.data, target.data], [origin.models, target.models]] as const) {
    const folders = new Set<string>();
    for (const file of await filesIn(from, leftOut(origin))) {
      const destination = path.join(to, path.relative(from, file));
      const before = await stampOf(file);
      await mkdir(path.dirname(destination), {recursive: true});
      if (!(await linkOrCopy(file, destination))) linked = false;
      folders.add(path.dirname(destination));
      const [after, there] = [await stampOf(file), await stampOf(destination)];
      if (before === null || after === null || there === null) throw new Error(`${file} went away while it was copied.`);
      if (after !== before) renewed.set(before, after);
      copied.set(before, there);
    }
    for (const folder of folders) await sync(folder);
  }
  await publishFile(target.database, temporary => copyDatabase(origin, target, temporary, copied));
  for (const {database} of [origin, ...relatives]) {
    const store = openStore(database);
    try {
      store.atomically(() => store.stages.renewStamps(renewed));
    } finally {
      store.close();
    }
  }
  return {linked};
}

/** What tells of the other run's work, and is no result of it. */
const leftOut = ({attempts, data}: RunPaths): readonly string[] => [attempts, path.join(data, 'tensorboard')];

/** Every file below a folder, less the folders left out and what a killed process left half written. */
async function filesIn(folder: string, without: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(folder, {withFileTypes: true})) {
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

async function copyDatabase(origin: RunPaths, target: RunPaths, file: string, copied: ReadonlyMap<string, string>): Promise<void> {
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
      renameRun(copy, origin, target, copied);
      copy.run.forgetConfig();
      copy.events.forgetHistory();
    });
  } finally {
    copy.close();
  }
}
