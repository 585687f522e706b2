/** `pupil verify`: reads again all that the stages of runs vouch for, and tells what is not as they left it. */
import type {Stop} from '../children/child.js';
import {UserError} from '../errors.js';
import {printableJson} from '../printable.js';
import {intactnessOf, type Intactness} from '../queries/intactness.js';
import {openRun, runsOf} from '../queries/open-run.js';
import {bytes, plural} from '../words.js';

export interface VerifyFlags {
  readonly home: string;
  /** Empty: all of the home. */
  readonly runs: readonly string[];
  readonly json: boolean;
}

/** Throws (exit 4) where anything is damaged. */
export async function verify({home, runs, json}: VerifyFlags, stop: Stop): Promise<void> {
  const verified: ({run: string} & Intactness)[] = [];
  for (const run of runs.length > 0 ? runs : runsOf(home).toSorted()) {
    const opened = openRun({home, run});
    try {
      const found = {run, ...(await intactnessOf(opened, stop.requested))};
      verified.push(found);
      if (!json) process.stdout.write(words(found));
    } finally {
      opened.store.close();
    }
  }
  if (json) process.stdout.write(`${printableJson({home, runs: verified})}\n`);
  else if (verified.length === 0) process.stdout.write(`No runs in ${home} yet. Start one with pupil orchestrate.\n`);
  const damaged = verified.filter(({damage}) => damage.length > 0).map(({run}) => run);
  if (damaged.length > 0)
    throw new UserError(
      'DAMAGED_RESULT',
      `${plural(damaged.length, 'run')} of ${verified.length} ${damaged.length === 1 ? 'is' : 'are'} damaged: ${damaged.join(', ')}. pupil orchestrate makes anew what is damaged, and what rests on it.`,
    );
}

function words({run, files, bytes: size, stages, damage}: {run: string} & Intactness): string {
  const read = `${plural(files, 'file')} (${bytes(size)}) and the rows of ${plural(stages, 'stage')}`;
  if (damage.length === 0) return `${run}: ${read} are as they were written\n`;
  const lines = damage.map(
    ({path, kind}) => `  ${path} is ${kind === 'missing' ? 'missing' : 'not what was written'}\n`,
  );
  return `${run}: of ${read}\n${lines.join('')}`;
}
