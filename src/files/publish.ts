/** Makes a file or folder appear whole or not at all, also after a power cut. */
import {mkdir, open, readdir, rename, rm} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import pLimit from 'p-limit';
import {passFailPoint} from './fail-point.js';
import {explainFault} from '../machine-fault.js';

/**
 * Disks commit several files in one go: of a hundred thousand files, eight at a time took a sixth of the time of one by
 * one.
 */
const SYNCS_AT_A_TIME = 8;

/** Waits until a file, or the list of a folder's files, is on the disk. */
export async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Lets `write` fill a temporary beside `path`, then puts it in its place: fsync, rename, fsync of the folder around it.
 * A file or folder already there is replaced. What a killed process left behind is cleared by the next one that
 * publishes the same path.
 */
async function publish<T>(
  path: string,
  prepare: (temporary: string) => Promise<unknown>,
  write: (temporary: string) => Promise<T>,
  contents: (temporary: string) => Promise<string[]>,
) {
  const temporary = `${path}.tmp`;
  try {
    await rm(temporary, {recursive: true, force: true});
    await prepare(temporary);
    const result = await write(temporary);
    const limit = pLimit(SYNCS_AT_A_TIME);
    passFailPoint('publish.before-fsync');
    await Promise.all((await contents(temporary)).map(written => limit(sync, written)));
    passFailPoint('publish.after-fsync');
    await rm(path, {recursive: true, force: true});
    passFailPoint('publish.before-rename');
    await rename(temporary, path);
    passFailPoint('publish.after-rename');
    await sync(dirname(path));
    passFailPoint('publish.after-folder-fsync');
    return result;
  } catch (error) {
    const explained = explainFault(error, {path}); // Before the space is given back.
    await rm(temporary, {recursive: true, force: true});
    throw explained;
  }
}

/** Publishes one file that `write` creates. Returns what `write` returned. */
export const publishFile = <T>(path: string, write: (temporary: string) => Promise<T>): Promise<T> =>
  publish(
    path,
    () => mkdir(dirname(path), {recursive: true}),
    write,
    async temporary => [temporary],
  );

/** Publishes a folder that `write` fills, at any depth. Returns what `write` returned. */
export const publishFolder = <T>(path: string, write: (temporary: string) => Promise<T>): Promise<T> =>
  publish(
    path,
    temporary => mkdir(temporary, {recursive: true}),
    write,
    async temporary => [...(await readdir(temporary, {recursive: true})).map(name => join(temporary, name)), temporary],
  );
