/** Gives a file a second name, so that it takes no room a second time. */
import {copyFile, link, mkdir, rename, rm} from 'node:fs/promises';
import path from 'node:path';
import {systemCode} from '../errors.js';
import {sync} from './publish.js';

/** The file system cannot link: it lies across two, knows no links, or has as many of a file as it can. */
const CANNOT_LINK = ['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

/**
 * Makes `file` appear at `destination`, whole or not at all; what stands there is replaced. Returns whether it could be
 * linked: else it was copied. Whoever links syncs the folder.
 */
export async function linkOrCopy(file: string, destination: string): Promise<boolean> {
  const temporary = `${destination}.tmp`;
  await mkdir(path.dirname(destination), {recursive: true});
  await rm(temporary, {recursive: true, force: true});
  let linked = true;
  try {
    await link(file, temporary);
  } catch (error) {
    if (!CANNOT_LINK.includes(systemCode(error) ?? '')) throw error;
    linked = false;
    await copyFile(file, temporary);
    await sync(temporary);
  }
  await rename(temporary, destination);
  // Two names of one file stay two where one would replace the other.
  await rm(temporary, {force: true});
  return linked;
}
