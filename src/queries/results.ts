/** What a run has come to: its accuracies, what they say, and what was selected. */
import type {Outcome, SelectionCounts, StageName} from '../events.js';
import {verdict} from '../report/verdict.js';
import type {EvaluateSummary} from '../stages/evaluate.js';
import type {Store} from '../store/open.js';

export type RunResults = Pick<Outcome, 'results' | 'flipped' | 'calibration' | 'verdict' | 'selection'>;

/** Null what no stage of `standing` has made. */
export function resultsOf({stages}: Store, standing: ReadonlySet<StageName>): RunResults {
  const summaryOf = (name: StageName): unknown => {
    const record = standing.has(name) ? stages.read(name) : null;
    return record?.status === 'done' ? record.summary : null;
  };
  // Written by those stages in these shapes; null while they are not done.
  return {
    ...measured(summaryOf('evaluate') as EvaluateSummary | null),
    selection: selectionCounts(summaryOf('select') as SelectionCounts | null),
  };
}

/** Less the bins of the reliability diagrams, which are for the report. */
function measured(summary: EvaluateSummary | null): Omit<RunResults, 'selection'> {
  if (summary === null) return {results: null, flipped: null, calibration: null, verdict: null};
  const {results, flipped, calibration, set, images} = summary;
  return {
    verdict: verdict({results, set, evaluatedImages: images}).sentence,
    results,
    flipped,
    calibration: Object.fromEntries(
      Object.entries(calibration).map(([model, {temperature, eceBefore, eceAfter}]) => [
        model,
        {temperature, eceBefore, eceAfter},
      ]),
    ),
  };
}

function selectionCounts(summary: SelectionCounts | null): SelectionCounts | null {
  if (summary === null) return null;
  const {classes, topP, topK, scored, candidates, selected, shortClasses, images, expectedPrecision} = summary;
  return {classes, topP, topK, scored, candidates, selected, shortClasses, images, expectedPrecision};
}
