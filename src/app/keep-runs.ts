/** Keeps what runs of a home have for the others: their own engine does so as it goes, but not one of an earlier pupil. */
import {existsSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import type {Emit} from '../events.js';
import {publishFile} from '../files/publish.js';
import {resultsFolder, runPaths, type RunPaths} from '../home.js';
import {damageOf} from '../pipeline/damage.js';
import {keepFinished, type TellingRun} from '../pipeline/sharing.js';
import {runsOf} from '../queries/open-run.js';
import {stages} from '../stages/index.js';
import {takeLock} from '../store/lock.js';
import {openStore} from '../store/open.js';
import {UserError} from '../errors.js';

/** Keeps all whole results that a run has. */
export async function keepRun(context: TellingRun): Promise<void> {
  const {store, paths} = context;
  for (const stage of stages) {
    const recorded = store.stages.read(stage.name);
    if (recorded === null || (await damageOf(stage, recorded, {store, home: paths.home})).length > 0) continue;
    await keepFinished(stage, context);
  }
}

/**
 * Takes over a home in which nothing is kept yet, once: what its runs have is kept. A run that is being worked on, or
 * cannot be opened, is left out; it is kept when it is next brought up to date.
 */
export async function keepRunsOfBefore({home, run}: RunPaths, signal: AbortSignal, emit: Emit): Promise<void> {
  const mark = path.join(resultsFolder(home), '.runs-of-before');
  if (existsSync(mark)) return;
  const others = runsOf(home).filter(name => name !== run);
  if (others.length > 0)
    emit({
      type: 'note',
      stage: null,
      message: `what the other runs of this home have is kept for all of them from now on (data/.results); this once it is looked through`,
    });
  for (const name of others) {
    const paths = runPaths(home, name);
    const lock = takeLock(paths.lock);
    if (lock === null) continue;
    try {
      const store = openStore(paths.database);
      try {
        await keepRun({paths, store, signal, emit});
      } finally {
        store.close();
      }
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    } finally {
      lock.release();
    }
  }
  await publishFile(mark, temporary => writeFile(temporary, ''));
}
