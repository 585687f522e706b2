/** Keeps a run as it is under another name, NAME@1 or the next free number, while the run itself goes on. */
import {existsSync} from 'node:fs';
import {stageNames} from '../events.js';
import {runPaths, type RunPaths} from '../home.js';
import {copyRun} from './copy-run.js';

/** Returns the name. The copy takes no room: its files are links. */
export async function archiveRun(paths: RunPaths): Promise<string> {
  let version = 1;
  while (isTaken(runPaths(paths.home, `${paths.run}@${version}`))) version++;
  const archive = runPaths(paths.home, `${paths.run}@${version}`);
  await copyRun(paths, archive, {fresh: stageNames, relatives: [], history: true});
  return archive.run;
}

/** Also by a folder that is somebody else's: nothing is put into it. */
const isTaken = ({database, data, models}: RunPaths): boolean =>
  [database, data, models].some(place => existsSync(place));
