/** What stands beside a run in its report: the rounds before it, and the experiment that it is a part of. */
import {existsSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {fromWire} from '../children/protocol.js';
import {UserError} from '../errors.js';
import {experimentOf} from '../config/experiment.js';
import {experimentFile, runPaths, type RunPaths} from '../home.js';
import {experimentResults, type ExperimentResults} from '../report/experiment-results.js';
import type {RoundData} from '../report/rounds-section.js';
import {roundName, roundOf} from '../config/rounds.js';
import {openStoreToRead} from '../store/open.js';
import {summaryOf} from './summaries.js';

/** The finished rounds before this one, in order. */
export function earlierRounds({home, run}: RunPaths): RoundData[] {
  const {first, round} = roundOf(run);
  return Array.from({length: round - 1}, (_, index) => roundName(first, index + 1)).flatMap(name => {
    const store = openStoreToRead(runPaths(home, name).database);
    if (store === null) return [];
    try {
      const [evaluated, selection] = [summaryOf(store, 'evaluate'), summaryOf(store, 'select')];
      return evaluated === null || selection === null ? [] : [{run: name, results: evaluated.results, selection}];
    } finally {
      store.close();
    }
  });
}

/**
 * The results of the experiment that the run is a part of, as they were last written; null where there are none. Throws
 * (exit 4) where that file is damaged.
 */
export async function experimentAround({home, run}: RunPaths): Promise<ExperimentResults | null> {
  const belonging = experimentOf(run);
  if (belonging === null) return null;
  const file = experimentFile(home, belonging.experiment, 'table.json');
  if (!existsSync(file)) return null;
  const text = await readFile(file, 'utf8');
  let found: unknown;
  try {
    found = fromWire(text);
  } catch (error) {
    throw new UserError(
      'DAMAGED_RESULT',
      `${file} is not as pupil wrote it (${error instanceof Error ? error.message : String(error)}). Delete it: pupil experiment writes it anew.`,
      {cause: error},
    );
  }
  const parsed = experimentResults.safeParse(found);
  return parsed.success && parsed.data.runs.some(other => other.run === roundOf(run).first) ? parsed.data : null;
}
