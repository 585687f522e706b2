/** The demo's own data set: drawn once, as ordinary folders of pictures. */
import {existsSync} from 'node:fs';
import path from 'node:path';
import type {Stop} from '../children/child.js';
import {openExecutor} from '../children/executor.js';
import {PROTOCOL} from '../children/protocol.js';
import type {Config} from '../config/schema.js';
import type {Emit} from '../events.js';
import type {RunPaths} from '../home.js';

/** Fixed, so that every demo shows the same pictures whatever the run's seed. */
const DRAWING = {seed: 0, size: 32, labelledPerClass: 25, unlabelled: 6000, testPerClass: 150};

export const demoPicturesFolder = (home: string): string => path.join(home, 'data', 'demo-pictures');

/** Whether a config reads the demo's pictures while they are not there yet. */
export function lacksDemoPictures({labelled, unlabelled, test}: Config, home: string): boolean {
  const folder = demoPicturesFolder(home);
  return (
    !existsSync(folder) && [labelled.source, test, ...unlabelled].some(source => source?.startsWith(folder + path.sep))
  );
}

export async function drawDemoPictures({
  paths,
  threads,
  stop,
  emit,
}: {
  paths: RunPaths;
  threads: number;
  stop: Stop;
  emit: Emit;
}): Promise<void> {
  const output = demoPicturesFolder(paths.home);
  emit({type: 'note', stage: null, message: `drawing the demo's pictures into ${output}`});
  // In a process of its own: one that has decoded no longer reads the SVG that it draws with.
  const executor = openExecutor();
  try {
    await executor.run<'draw'>(
      {name: 'worker', threads, device: 'cpu', python: null},
      {protocol: PROTOCOL, task: 'draw', output, ...DRAWING},
      {
        attempt: path.join(paths.attempts, 'drawing'),
        stop,
        onEvent(event) {
          if (event.type === 'progress') emit({...event, stage: 'prepare', part: 'drawing'});
        },
      },
    );
  } finally {
    await executor.close();
  }
}
