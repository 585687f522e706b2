/** `pupil gc`: shows and removes what a home keeps and no run needs. */
import type {Stop} from '../children/child.js';
import {collectGarbage} from '../app/collect-garbage.js';
import {printableJson} from '../printable.js';
import {table} from '../report/table.js';
import {widthOf} from '../report/wrap.js';
import {bytes, plural} from '../words.js';

export interface GcFlags {
  readonly home: string;
  readonly dryRun: boolean;
  readonly json: boolean;
}

export async function gc({home, dryRun, json}: GcFlags, stop: Stop): Promise<void> {
  const {garbage, bytes: freed} = await collectGarbage(home, {dryRun, signal: stop.requested});
  if (json) {
    const listed = garbage.map(({stage, run, finishedAt, bytes}) => ({stage, run, finished_at: finishedAt, bytes}));
    process.stdout.write(
      `${printableJson({home, removed: dryRun ? [] : listed, ...(dryRun && {would_remove: listed}), bytes: freed})}\n`,
    );
    return;
  }
  if (garbage.length === 0) {
    process.stdout.write(`All that is kept in ${home} is needed by a run.\n`);
    return;
  }
  const rows = garbage.map(({stage, run, finishedAt, bytes: size}) => [
    stage,
    run ?? '(cut short)',
    finishedAt === null ? '' : finishedAt.slice(0, 16).replace('T', ' '),
    bytes(size),
  ]);
  const text = table(['result', 'made by', 'at (UTC)', 'its own'], rows, {
    align: ['left', 'left', 'left', 'right'],
    width: widthOf(process.stdout),
  });
  process.stdout.write(
    `${text}\n${plural(garbage.length, 'result')} that no run needs: ${bytes(freed)} ${dryRun ? 'would be freed' : 'freed'}.\n`,
  );
}
