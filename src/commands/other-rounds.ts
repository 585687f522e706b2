/** Tells people, beside what they asked for, of the other rounds of a run. */
import {roundOf, roundsAmong} from '../config/rounds.js';
import type {RunPaths} from '../home.js';
import {runsOf} from '../queries/open-run.js';

export function tellOtherRounds({home, run}: RunPaths): void {
  const rounds = roundsAmong(runsOf(home), run);
  const others = rounds.filter(other => other !== run).map(other => `--run ${other}`);
  if (others.length === 0) return;
  process.stderr.write(
    `Round ${roundOf(run).round} of ${rounds.length}; the other${others.length > 1 ? 's' : ''}: ${others.join(', ')}; side by side: pupil compare ${rounds[0]} ${rounds.at(-1)}\n`,
  );
}
