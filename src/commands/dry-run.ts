/** `pupil orchestrate --dry-run`: what would run and why, and how much that is; nothing is written. */
import {existsSync} from 'node:fs';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import type {Stop} from '../children/child.js';
import {findPython} from '../children/python-env.js';
import type {Config} from '../config.js';
import type {RunPaths} from '../home.js';
import {inspect, type Wanted} from '../pipeline/run.js';
import {table} from '../report/table.js';
import {painter} from '../report/terminal.js';
import {contextFor, withDevice} from '../stages/context.js';
import {demoPicturesFolder} from '../stages/demo-pictures.js';
import {countImages, estimate, measureSpeeds} from '../stages/estimate.js';
import {stages} from '../stages/index.js';
import {openStore, openStoreToRead} from '../store/open.js';
import {bytes, count, duration} from '../words.js';

interface DryRunFlags extends Wanted {
  readonly home: string;
  readonly preset?: string | undefined;
  readonly python?: string | undefined;
  readonly json: boolean;
}

export async function dryRun(config: Config, paths: RunPaths, flags: DryRunFlags, stop: Stop): Promise<void> {
  if (flags.preset === 'demo' && !existsSync(demoPicturesFolder(flags.home))) {
    process.stdout.write(`The demo would draw its pictures into ${demoPicturesFolder(flags.home)} first, and then run every stage: ${stages.map(stage => stage.name).join(', ')}.\n`);
    return;
  }
  const store = openStoreToRead(paths.database) ?? openStore(':memory:');
  // The children's configs and logs go where nothing of the run lies.
  const attempts = await mkdtemp(path.join(tmpdir(), 'pupil-dry-run-'));
  try {
    const context = await contextFor(config, {paths: {...paths, attempts}, store, stop, emit: () => {}});
    const plan = await inspect(stages, context, {restamp: false, wanted: flags});
    const nothingToDo = plan.every(({wanted, verdict}) => !wanted || verdict.fresh);
    const measured = nothingToDo ? null : await withDevice(context, findPython(flags.python));
    const speeds = measured && (await measureSpeeds(measured));
    const amounts = estimate(context, await countImages(context), speeds);
    if (flags.json) {
      const listed = plan.map(({stage, wanted, verdict}) => ({name: stage.name, status: verdict.fresh ? 'fresh' : 'stale', wanted, reason: verdict.reason, ...amounts[stage.name]}));
      process.stdout.write(`${JSON.stringify({run: paths.run, device: measured?.device ?? config.device, stages: listed})}\n`);
      return;
    }
    const paint = painter(process.stdout);
    const shown = (value: number | null, words: (value: number) => string) => (value === null || value === 0 ? '' : words(value));
    const rows = plan.map(({stage, wanted, verdict}) => {
      const {images, steps, bytes: size, seconds} = amounts[stage.name];
      if (!wanted) return [stage.name, 'not asked for', '', '', '', '', verdict.reason];
      if (verdict.fresh) return [stage.name, 'fresh', '', '', '', '', verdict.reason];
      return [stage.name, 'would run', shown(images, count), shown(steps, count), shown(size, bytes), shown(seconds, duration), verdict.reason];
    });
    const text = table(['stage', '', 'images', 'steps', 'disk', 'time', 'reason'], rows, {
      align: ['left', 'left', 'right', 'right', 'right', 'right'],
      ...(process.stdout.isTTY && {width: process.stdout.columns}),
    });
    const total = plan.reduce((sum, {stage, wanted, verdict}) => sum + (wanted && !verdict.fresh ? (amounts[stage.name].seconds ?? 0) : 0), 0);
    process.stdout.write(`${paint('bold', `Run ${paths.run} in ${paths.home}`)}${measured ? ` on ${measured.device}` : ''}\n${text}\n`);
    if (total > 0) process.stdout.write(`About ${duration(total)} of training and scoring, at the speed that was just measured; reading and decoding come on top. Nothing was written.\n`);
  } finally {
    store.close();
    await rm(attempts, {recursive: true, force: true});
  }
}
