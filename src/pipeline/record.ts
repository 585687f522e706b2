/** What a stage left, as it is recorded: its files by their hashes, its rows by their digests. */
import path from 'node:path';
import type {OutputRecord} from '../store/stages.js';
import type {Store} from '../store/open.js';
import type {Rows} from './damage.js';
import {hashOf} from './file-hash.js';
import type {RunHandle} from './results.js';
import type {StageResult} from './stage.js';

/** Its products in rows, as they are now. */
export const recordRows = ({rows = {}}: Rows, store: Store): OutputRecord[] =>
  Object.entries(rows).map(([name, digest]) => ({name, path: null, sha256: digest(store)}));

/** Its products in files, and those that a text stands for. */
export async function recordOutputs(
  {outputs}: Pick<StageResult, 'outputs'>,
  {paths: {home}, store, signal}: RunHandle,
): Promise<OutputRecord[]> {
  const records: OutputRecord[] = [];
  for (const output of outputs) {
    if ('digest' in output) records.push({name: output.name, path: null, sha256: output.digest});
    else {
      for (const file of output.files) {
        const sha256 = await hashOf(file, store.hashes, signal);
        if (sha256 === null) throw new Error(`A stage reported the output ${file}, which is not there.`);
        records.push({name: output.name, path: path.relative(home, file), sha256});
      }
    }
  }
  return records;
}
