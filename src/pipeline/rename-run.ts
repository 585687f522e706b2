/** Gives the state of a run another name: its own, and those of the folders that its files lie in. */
import path from 'node:path';
import type {RunPaths} from '../home.js';
import type {Store} from '../store/open.js';

/**
 * Call inside `atomically`. `stamps` are those of the files at their new places by those at the old ones, where they
 * differ.
 */
export function renameRun(
  store: Store,
  from: RunPaths,
  to: RunPaths,
  stamps: ReadonlyMap<string, string> = new Map(),
): void {
  const folders = [
    [from.data, to.data],
    [from.models, to.models],
  ].map(
    ([before, after]) =>
      [path.relative(from.home, before!) + path.sep, path.relative(from.home, after!) + path.sep] as const,
  );
  store.run.rename(to.run);
  store.images.moveRoot(from.cache, to.cache);
  store.quarantine.moveRoot(from.cache, to.cache);
  store.packs.renewStamps(stamps);
  store.stages.relocate(({path: recorded, stamp}) => {
    const [before, after] = folders.find(([folder]) => recorded.startsWith(folder)) ?? ['', ''];
    // A file that was not the recorded one before keeps its stamp, under which it will be looked into.
    return {path: after + recorded.slice(before.length), stamp: stamps.get(stamp) ?? stamp};
  });
}
