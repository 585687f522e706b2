/** `pupil verify`: reads again all that the stages of runs vouch for, and tells what is not as they left it. */
import type {Stop} from '../children/child.js';
import {refuseHeld} from '../app/held-run.js';
import {UserError} from '../errors.js';
import type {HashedDamage} from '../pipeline/damage.js';
import {hashOnce, type HashOnce} from '../pipeline/file-hash.js';
import {printableJson} from '../printable.js';
import {intactnessOf, intactnessOfKept, type Intactness, type KeptIntactness} from '../queries/intactness.js';
import {openRun, runsOf} from '../queries/open-run.js';
import {bytes, plural} from '../words.js';

export interface VerifyFlags {
  readonly home: string;
  /** Empty: all of the home. */
  readonly runs: readonly string[];
  readonly json: boolean;
}

/** A run that could be read, or why it could not. */
type Verified = {readonly run: string} & (Intactness | {readonly error: string});

/** Throws (exit 4) where anything is damaged, and what kept a run from being read. */
export async function verify({home, runs, json}: VerifyFlags, stop: Stop): Promise<void> {
  const verified: Verified[] = [];
  const damaged: string[] = [];
  const errors: UserError[] = [];
  // What runs share is read once.
  const reading = {hash: hashOnce(), signal: stop.requested};
  for (const run of runs.length > 0 ? runs : runsOf(home).toSorted()) {
    try {
      const found = await verifiedRun(home, run, reading);
      verified.push(found);
      if (found.damage.length > 0) damaged.push(run);
      if (!json) process.stdout.write(words(found));
    } catch (error) {
      // What one run is held up by hides nothing of the others.
      if (!(error instanceof UserError) || error.code === 'NO_SUCH_RUN') throw error;
      verified.push({run, error: error.message});
      errors.push(error);
      if (!json) process.stdout.write(`${run}: ${error.message}\n`);
    }
  }
  const kept = runs.length > 0 || verified.length === 0 ? null : await intactnessOfKept(home, reading);
  if (json) process.stdout.write(`${printableJson({home, runs: verified, ...(kept !== null && {kept})})}\n`);
  else if (verified.length === 0) process.stdout.write(`No runs in ${home} yet. Start one with pupil orchestrate.\n`);
  else if (kept !== null) process.stdout.write(keptWords(kept));
  const complaints = [
    ...(damaged.length === 0
      ? []
      : [
          `${plural(damaged.length, 'run')} of ${verified.length} ${damaged.length === 1 ? 'is' : 'are'} damaged: ${damaged.join(', ')}. pupil orchestrate makes anew what is damaged, and what rests on it.`,
        ]),
    ...(kept === null || kept.damage.length === 0
      ? []
      : ['Of what is kept for all runs something is damaged: where it is needed again, it is made again.']),
  ];
  if (complaints.length > 0) throw new UserError('DAMAGED_RESULT', complaints.join(' '));
  if (errors[0] !== undefined) throw errors[0];
}

/** Throws (exit 75) for a run that is being worked on: what is written just now is not yet what was recorded. */
async function verifiedRun(
  home: string,
  run: string,
  reading: {readonly hash: HashOnce; readonly signal: AbortSignal},
): Promise<{run: string} & Intactness> {
  const {store, paths} = openRun({home, run});
  try {
    refuseHeld(paths);
    const found = await intactnessOf({store, paths}, reading);
    refuseHeld(paths);
    return {run, ...found};
  } finally {
    store.close();
  }
}

function words({run, files, bytes: size, stages, damage}: {run: string} & Intactness): string {
  return told(run, `${plural(files, 'file')} (${bytes(size)}) and the rows of ${plural(stages, 'stage')}`, damage);
}

const keptWords = ({files, bytes: size, results, damage}: KeptIntactness): string =>
  told('kept for all runs', `${plural(files, 'file')} (${bytes(size)}) of ${plural(results, 'result')}`, damage);

function told(of: string, read: string, damage: readonly HashedDamage[]): string {
  if (damage.length === 0) return `${of}: ${read} are as they were written\n`;
  const problem = (one: HashedDamage) =>
    one.kind === 'missing'
      ? 'is missing'
      : 'detail' in one
        ? `cannot be read (${one.detail})`
        : 'is not what was written';
  return `${of}: of ${read}\n${damage.map(one => `  ${one.path} ${problem(one)}\n`).join('')}`;
}
