/** What a run came to, in one row, and the runs of a home. */
import {UserError} from '../errors.js';
import {stageNames, type Calibration, type Results, type SelectionCounts} from '../events.js';
import {summaryOf as stageSummary} from '../stages/summaries.js';
import {openRun, runsOf} from './open-run.js';

export interface RunSummary {
  readonly run: string;
  readonly about: string;
  readonly stagesDone: number;
  readonly seconds: number;
  readonly results: Results | null;
  readonly flipped: Results | null;
  /** The student's. */
  readonly calibration: Calibration | null;
  readonly selection: Pick<SelectionCounts, 'topP' | 'topK' | 'scored' | 'selected'> | null;
  readonly settings: Readonly<Record<string, string>>;
}

/** Throws (exit 4) where its records were altered. */
export function summaryOf(home: string, run: string): RunSummary {
  const {store, config} = openRun({home, run});
  try {
    const records = stageNames.map(name => store.stages.read(name)).filter(record => record !== null);
    const altered = records.find(record => !record.isIntact);
    if (altered)
      throw new UserError(
        'DAMAGED_RESULT',
        `Run ${run}: the record of ${altered.name} in the database is not what was written. Run pupil orchestrate, which makes it anew.`,
      );
    const done = records.filter(record => record.status === 'done' || record.status === 'skipped');
    const evaluated = stageSummary(store, 'evaluate');
    return {
      run,
      about: config.about ?? '',
      stagesDone: done.length,
      seconds: records.reduce((sum, record) => sum + record.seconds, 0),
      results: evaluated?.results ?? null,
      flipped: evaluated?.flipped ?? null,
      calibration: evaluated?.calibration.student ?? null,
      selection: stageSummary(store, 'select'),
      // Those of its results, where it has any: the run may have others by now.
      settings: flatten(evaluated?.config ?? config),
    };
  } finally {
    store.close();
  }
}

const flatten = (value: unknown, prefix = ''): Record<string, string> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (Object.assign(
        {},
        ...Object.entries(value).map(([key, inner]) => flatten(inner, prefix === '' ? key : `${prefix}.${key}`)),
      ) as Record<string, string>)
    : {[prefix]: Array.isArray(value) ? value.join(', ') : String(value)};

/** Every run of a home, the one that was written last first; one that cannot be read must not hide the others. */
export function allRuns(home: string): {
  readonly runs: readonly RunSummary[];
  readonly unread: readonly {readonly run: string; readonly reason: string}[];
} {
  const runs: RunSummary[] = [];
  const unread: {run: string; reason: string}[] = [];
  for (const run of runsOf(home)) {
    try {
      runs.push(summaryOf(home, run));
    } catch (error) {
      unread.push({run, reason: error instanceof Error ? error.message : String(error)});
    }
  }
  return {runs, unread};
}
