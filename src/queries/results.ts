/** What a run has come to: its accuracies, what they say, and what was selected. */
import type {Outcome, StageName} from '../events.js';
import {verdict} from '../report/verdict.js';
import {summaryOf, type SummaryOf} from '../stages/summaries.js';
import type {Store} from '../store/open.js';

export type RunResults = Pick<Outcome, 'results' | 'flipped' | 'calibration' | 'verdict' | 'selection'>;

/** Null what no stage of `standing` has made. */
export function resultsOf(store: Store, standing: ReadonlySet<StageName>): RunResults {
  return {
    ...measured(standing.has('evaluate') ? summaryOf(store, 'evaluate') : null),
    selection: standing.has('select') ? summaryOf(store, 'select') : null,
  };
}

/** Less the bins of the reliability diagrams, which are for the report. */
function measured(summary: SummaryOf<'evaluate'> | null): Omit<RunResults, 'selection'> {
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
