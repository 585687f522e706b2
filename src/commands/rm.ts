/** `pupil rm`: removes runs, or says what that would free. */
import type {Stop} from '../children/child.js';
import {throwIfStopped} from '../errors.js';
import {planRemoval, removeRun} from '../app/remove-runs.js';
import {runPaths} from '../home.js';
import {printableJson} from '../printable.js';
import {bytes} from '../words.js';

export interface RmFlags {
  readonly home: string;
  readonly runs: readonly string[];
  readonly dryRun: boolean;
  readonly json: boolean;
}

export async function rm({home, runs, dryRun, json}: RmFlags, stop: Stop): Promise<void> {
  const removals = await planRemoval(home, [...new Set(runs)]);
  for (const removal of removals) {
    throwIfStopped(stop.requested);
    const {run, bytes: freed} = removal;
    const left = dryRun ? [] : await removeRun(runPaths(home, run), removal);
    if (!json) process.stdout.write(`${run}: ${bytes(freed)} ${dryRun ? 'would be freed' : 'freed'}\n`);
    for (const place of left) process.stderr.write(`${place} is none of its files, and stays.\n`);
  }
  if (json) {
    const listed = removals.map(({run, bytes}) => ({run, bytes}));
    process.stdout.write(
      `${printableJson({home, removed: dryRun ? [] : listed, ...(dryRun && {would_remove: listed})})}\n`,
    );
  }
}
