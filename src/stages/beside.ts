/** What stands beside a run in its report: the rounds before it, and the experiment that it is a part of. */
import {existsSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {fromWire} from '../children/protocol.js';
import {UserError} from '../errors.js';
import {experimentFile, runPaths} from '../home.js';
import {experimentResults, type ExperimentResults} from '../report/experiment-results.js';
import type {RoundData} from '../report/rounds-section.js';
import {roundName} from '../config/rounds.js';
import {openStoreToRead} from '../store/open.js';
import type {StageContext} from './context.js';
import {summaryOf} from './summaries.js';

type Run = Pick<StageContext, 'paths' | 'store'>;

/** The finished rounds before this one, in order. */
export function earlierRounds({paths: {home, run}, store}: Run): RoundData[] {
  const {first, round} = store.run.belonging() ?? {first: run, round: 1};
  return Array.from({length: round - 1}, (_, index) => roundName(first, index + 1)).flatMap(name => {
    const earlier = openStoreToRead(runPaths(home, name).database);
    if (earlier === null) return [];
    try {
      const [evaluated, selection] = [summaryOf(earlier, 'evaluate'), summaryOf(earlier, 'select')];
      return evaluated === null || selection === null ? [] : [{run: name, results: evaluated.results, selection}];
    } finally {
      earlier.close();
    }
  });
}

/**
 * The results of the experiment that the run is a part of, as they were last written; null where there are none. Throws
 * (exit 4) where that file is damaged.
 */
export async function experimentAround({paths: {home}, store}: Run): Promise<ExperimentResults | null> {
  const belonging = store.run.belonging();
  if (belonging === null || belonging.arm === null) return null;
  const file = experimentFile(home, belonging.arm.experiment, 'table.json');
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
  return parsed.success && parsed.data.runs.some(other => other.run === belonging.first) ? parsed.data : null;
}
