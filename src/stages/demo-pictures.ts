/** The demo's own data set: drawn once, as ordinary folders of pictures. */
import {existsSync} from 'node:fs';
import path from 'node:path';
import {runChild, type Stop} from '../children/child.js';
import {PROTOCOL} from '../children/protocol.js';
import {workerCommand} from '../children/worker.js';
import type {Emit} from '../events.js';
import type {RunPaths} from '../home.js';

/** Fixed, so that every demo shows the same pictures whatever the run's seed. */
const DRAWING = {seed: 0, size: 32, labelledPerClass: 25, unlabelled: 6000, testPerClass: 150};

export const demoPicturesFolder = (home: string): string => path.join(home, 'data', 'demo-pictures');

/** Draws the pictures where they are not there yet. */
export async function drawDemoPictures({paths, threads, stop, emit}: {paths: RunPaths; threads: number; stop: Stop; emit: Emit}): Promise<void> {
  const output = demoPicturesFolder(paths.home);
  if (existsSync(output)) return;
  emit({type: 'note', stage: null, message: `drawing the demo's pictures into ${output}`});
  await runChild<'draw'>(workerCommand({decodeThreads: threads, device: 'cpu', python: null}), {protocol: PROTOCOL, task: 'draw', output, ...DRAWING}, {
    attempt: path.join(paths.attempts, 'drawing'),
    stop,
    onEvent(event) {
      if (event.type === 'progress') emit({...event, stage: 'prepare', part: 'drawing'});
    },
  });
}
