/** Which of the results that a home keeps no run needs. */
import {stageNames} from '../events.js';
import {runPaths} from '../home.js';
import {keptFolders, keyOf, type KeptFolder} from '../pipeline/results.js';
import {runsOf} from '../queries/open-run.js';
import {openStoreToRead} from '../store/open.js';

/**
 * Those that would not be needed if these runs were gone; what was cut short or is damaged is needed by none. Throws
 * (exit 4) where a run cannot be read, of which nobody knows what it needs.
 */
export async function unneededResults(home: string, without: readonly string[] = []): Promise<KeptFolder[]> {
  const keys = new Set<string>();
  const files = new Set<string>();
  for (const run of runsOf(home).filter(name => !without.includes(name))) {
    const store = openStoreToRead(runPaths(home, run).database);
    if (store === null) continue;
    try {
      for (const name of stageNames) {
        const recorded = store.stages.read(name);
        if (recorded?.ingredients == null) continue;
        keys.add(keyOf(name, recorded.ingredients));
        for (const {sha256} of recorded.outputs) files.add(sha256);
      }
    } finally {
      store.close();
    }
  }
  // A training is a part of what a stage made, which has its weights.
  const isNeeded = ({key, result}: KeptFolder) =>
    result !== null &&
    (keys.has(key) || (!isStage(result.stage) && result.outputs.some(({sha256}) => files.has(sha256))));
  return (await keptFolders(home)).filter(kept => !isNeeded(kept));
}

const isStage = (name: string): boolean => stageNames.some(stage => stage === name);
