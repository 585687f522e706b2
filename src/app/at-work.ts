/** Tells which other run of a home is making a result just now, so that it is made once. */
import {runPaths, type RunPaths} from '../home.js';
import {keyOf} from '../pipeline/results.js';
import type {SharingContext} from '../pipeline/sharing.js';
import {openWhereSound, runsOf} from '../queries/open-run.js';
import {isLocked} from '../store/lock.js';

/**
 * Of runs that began the same stage at once, the one that did so first by its clock goes on, else the one whose name comes
 * first: each sees the other, since who begins says so before it looks.
 */
export const makerOf =
  ({home, run}: RunPaths): SharingContext['makerOf'] =>
  (stage, ingredients, startedAt) => {
    const key = keyOf(stage, ingredients);
    for (const other of runsOf(home).filter(name => name !== run)) {
      const {lock, database} = runPaths(home, other);
      if (!isLocked(lock)) continue;
      const store = openWhereSound(database);
      try {
        const recorded = store?.stages.read(stage);
        if (recorded?.status !== 'running' || recorded.begun === null || keyOf(stage, recorded.begun) !== key) continue;
        const isFirst =
          startedAt === null || recorded.startedAt < startedAt || (recorded.startedAt === startedAt && other < run);
        if (isFirst) return other;
      } finally {
        store?.close();
      }
    }
    return null;
  };
