/** Which of the results that a home keeps no run needs. */
import {stageNames} from '../events.js';
import {runPaths} from '../home.js';
import {keptFolders, keyOf, type KeptFolder} from '../pipeline/results.js';
import {runsOf} from '../queries/open-run.js';
import {openStoreToRead} from '../store/open.js';

/** What a run needs: the keys of its stages' results, and the hashes of the files in them. */
interface Needs {
  readonly keys: ReadonlySet<string>;
  readonly files: ReadonlySet<string>;
}

/**
 * Tells what would not be needed if some runs were gone; what was cut short or is damaged is needed by none. Throws (exit
 * 4) where a run cannot be read, of which nobody knows what it needs; those of `but` are not asked.
 */
export async function openNeeds(
  home: string,
  but: readonly string[] = [],
): Promise<(without?: ReadonlySet<string>) => KeptFolder[]> {
  const needs = new Map(
    runsOf(home)
      .filter(run => !but.includes(run))
      .map(run => [run, needsOf(home, run)]),
  );
  const folders = await keptFolders(home);
  return (without = new Set()) => {
    const staying = [...needs].filter(([run]) => !without.has(run)).map(([, of]) => of);
    return folders.filter(kept => !staying.some(of => isNeeded(kept, of)));
  };
}

function needsOf(home: string, run: string): Needs {
  const [keys, files] = [new Set<string>(), new Set<string>()];
  const store = openStoreToRead(runPaths(home, run).database);
  try {
    for (const name of store === null ? [] : stageNames) {
      const recorded = store?.stages.read(name);
      if (recorded?.ingredients == null) continue;
      keys.add(keyOf(name, recorded.ingredients));
      for (const {sha256} of recorded.outputs) files.add(sha256);
    }
    return {keys, files};
  } finally {
    store?.close();
  }
}

/** A training is a part of what a stage made, which has its weights. */
const isNeeded = ({key, result}: KeptFolder, {keys, files}: Needs): boolean =>
  result !== null &&
  (keys.has(key) || (!isStage(result.stage) && result.outputs.some(({sha256}) => files.has(sha256))));

const isStage = (name: string): boolean => stageNames.some(stage => stage === name);
