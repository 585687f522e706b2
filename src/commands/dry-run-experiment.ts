/**
 * `pupil experiment --dry-run`: which stages of each run would run, and how long all of it would take; nothing is
 * written.
 */
import path from 'node:path';
import {demoPicturesFolder, lacksDemoPictures} from '../app/demo-pictures.js';
import {forecastExperiment} from '../app/forecast-experiment.js';
import {fetchPlan, fetchPlanWire, missingDatasets} from '../app/missing-datasets.js';
import type {Stop} from '../children/child.js';
import type {Experiment} from '../config/experiment.js';
import {printableJson} from '../printable.js';
import {table} from '../report/table.js';
import {painter} from '../report/terminal.js';
import {widthOf} from '../report/wrap.js';
import {stages} from '../stages/index.js';
import {duration, MEASURING, plural} from '../words.js';

interface Flags {
  readonly home: string;
  readonly python?: string | undefined;
  readonly json: boolean;
}

export async function dryRunOfExperiment({name, runs}: Experiment, flags: Flags, stop: Stop): Promise<void> {
  if (runs.some(({config}) => lacksDemoPictures(config, flags.home))) {
    const pictures = demoPicturesFolder(flags.home);
    if (flags.json) process.stdout.write(`${printableJson({experiment: name, demo_pictures: pictures, runs: []})}\n`);
    else
      process.stdout.write(
        `The demo's pictures would be drawn into ${pictures} first, and then every run would run.\n`,
      );
    return;
  }
  const missing = [...new Set(runs.flatMap(({config}) => missingDatasets(config, flags.home)))];
  if (missing.length > 0) {
    if (flags.json)
      process.stdout.write(
        `${printableJson({experiment: name, datasets: fetchPlanWire(missing, flags.home), runs: []})}\n`,
      );
    else
      process.stdout.write(
        `It would fetch first, into ${path.join(flags.home, 'data')}:\n  ${fetchPlan(missing).join('\n  ')}\nand then every run would run. Nothing was written.\n`,
      );
    return;
  }
  const planned = await forecastExperiment(
    {runs},
    {...flags, onMeasuring: () => process.stderr.write(MEASURING)},
    stop,
  );
  const seconds = planned.reduce((sum, run) => sum + run.seconds, 0);
  if (flags.json) {
    process.stdout.write(`${printableJson({experiment: name, seconds, runs: planned})}\n`);
    return;
  }
  const rows = planned.map(({run, stages: stale, seconds}) => [
    run,
    seconds === 0 ? '' : duration(seconds),
    stale.length === 0 ? 'nothing' : stale.length === stages.length ? 'every stage' : stale.join(', '),
  ]);
  const text = table(['run', 'time', 'would run'], rows, {align: ['left', 'right'], width: widthOf(process.stdout)});
  process.stdout.write(`${painter(process.stdout)('bold', `Experiment ${name} in ${flags.home}`)}\n${text}\n`);
  if (seconds > 0)
    process.stdout.write(
      `About ${duration(seconds)} in all for ${plural(runs.length, 'run')}, as fast as this machine was just now.\n`,
    );
  process.stdout.write('Nothing was written.\n');
}
