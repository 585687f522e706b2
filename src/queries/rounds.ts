/** The rounds of a run: those whose students taught each other. */
import {runPaths} from '../home.js';
import type {Belonging} from '../store/run.js';
import {openWhereSound, runsOf} from './open-run.js';

export interface Round extends Belonging {
  readonly run: string;
}

/** All rounds of the run of which `run` is one, in order; it alone, where it cannot be told. */
export function roundsOf(home: string, run: string): Round[] {
  const itself = belongingOf(home, run);
  // A round is called after the first, but not all that is called so is one.
  const others = runsOf(home).filter(name => name !== run && name.startsWith(itself.first));
  return [itself, ...others.map(name => belongingOf(home, name))]
    .filter(({first}) => first === itself.first)
    .sort((a, b) => a.round - b.round);
}

function belongingOf(home: string, run: string): Round {
  const store = openWhereSound(runPaths(home, run).database);
  try {
    return {run, ...(store?.run.belonging() ?? {arm: null, first: run, round: 1})};
  } finally {
    store?.close();
  }
}
