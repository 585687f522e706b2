/** Tells people, beside what they asked for, of the other rounds of a run. */
import type {RunPaths} from '../home.js';
import {roundsOf} from '../queries/rounds.js';

export function tellOtherRounds({home, run}: RunPaths): void {
  const rounds = roundsOf(home, run);
  const others = rounds.filter(other => other.run !== run).map(other => `--run ${other.run}`);
  const asked = rounds.find(round => round.run === run);
  if (asked === undefined || others.length === 0) return;
  process.stderr.write(
    `Round ${asked.round} of ${rounds.length}; the other${others.length > 1 ? 's' : ''}: ${others.join(', ')}; side by side: pupil compare ${rounds[0]?.run} ${rounds.at(-1)?.run}\n`,
  );
}
