/** `pupil orchestrate --dry-run`: what would run and why, and how much that is; nothing is written. */
import path from 'node:path';
import {demoPicturesFolder, lacksDemoPictures} from '../app/demo-pictures.js';
import {forecastRounds, type Forecast} from '../app/forecast.js';
import {fetchPlan, fetchPlanWire, missingDatasets} from '../app/missing-datasets.js';
import type {Stop} from '../children/child.js';
import type {Config} from '../config/schema.js';
import type {Wanted} from '../pipeline/run.js';
import {printableJson} from '../printable.js';
import {table} from '../report/table.js';
import {painter} from '../report/terminal.js';
import {widthOf} from '../report/wrap.js';
import {stages} from '../stages/index.js';
import {bytes, count, duration, MEASURING} from '../words.js';

interface DryRunFlags extends Wanted {
  readonly home: string;
  readonly python?: string | undefined;
  readonly json: boolean;
  readonly acceptChange: boolean;
}

export async function dryRun(config: Config, flags: DryRunFlags, stop: Stop): Promise<void> {
  if (lacksDemoPictures(config, flags.home)) {
    const pictures = demoPicturesFolder(flags.home);
    if (flags.json) process.stdout.write(`${printableJson({run: config.run, demo_pictures: pictures, stages: []})}\n`);
    else
      process.stdout.write(
        `The demo would draw its pictures into ${pictures} first, and then run every stage: ${stages.map(stage => stage.name).join(', ')}.\n`,
      );
    return;
  }
  const missing = missingDatasets(config, flags.home);
  if (missing.length > 0) {
    // What the stages would do with them is known once they are there.
    const names = stages.map(stage => stage.name).join(', ');
    if (flags.json)
      process.stdout.write(
        `${printableJson({run: config.run, datasets: fetchPlanWire(missing, flags.home), stages: []})}\n`,
      );
    else
      process.stdout.write(
        `It would fetch first, into ${path.join(flags.home, 'data')}:\n  ${fetchPlan(missing).join('\n  ')}\nand then run every stage: ${names}. Nothing was written.\n`,
      );
    return;
  }
  const {rounds, later} = await forecastRounds(
    config,
    flags,
    {...flags, onMeasuring: () => process.stderr.write(MEASURING)},
    stop,
  );
  if (flags.json) {
    const [first, ...more] = rounds;
    process.stdout.write(
      `${printableJson({run: first!.run, device: first!.device, stages: wire(first!.stages), rounds: more.map(round => ({run: round.run, stages: wire(round.stages)})), later})}\n`,
    );
    return;
  }
  process.stdout.write(rounds.map(round => words(round, flags.home)).join('\n'));
  if (later.length > 0)
    process.stdout.write(
      `Then ${later.join(', ')}, each with the student before as its teacher: every stage but prepare would run.\n`,
    );
  process.stdout.write('Nothing was written.\n');
}

const wire = (listed: Forecast['stages']): object[] =>
  listed.map(({name, wanted, fresh, reason, amount}) => ({
    name,
    status: fresh ? 'fresh' : 'stale',
    wanted,
    reason,
    ...amount,
  }));

function words({run, device, provingSeconds, change, stages: listed}: Forecast, home: string): string {
  const shown = (value: number | null, words: (value: number) => string) =>
    value === null || value === 0 ? '' : words(value);
  const rows = listed.map(({name, wanted, fresh, reason, amount: {images, steps, bytes: size, seconds}}) => {
    if (!wanted) return [name, 'not asked for', '', '', '', '', reason];
    if (fresh) return [name, 'fresh', '', '', '', '', reason];
    return [
      name,
      'would run',
      shown(images, count),
      shown(steps, count),
      shown(size, bytes),
      shown(seconds, duration),
      reason,
    ];
  });
  const text = table(['stage', '', 'images', 'steps', 'disk', 'time', 'reason'], rows, {
    align: ['left', 'left', 'right', 'right', 'right', 'right'],
    width: widthOf(process.stdout),
  });
  const total = listed.reduce(
    (sum, {wanted, fresh, amount}) => sum + (wanted && !fresh ? (amount.seconds ?? 0) : 0),
    provingSeconds ?? 0,
  );
  const head =
    painter(process.stdout)('bold', `Run ${run} in ${home}`) + (provingSeconds === null ? '' : ` on ${device}`);
  const kept =
    change === null
      ? ''
      : `The data changed, so the run as it is would be kept under another name first:\n  ${change}\n`;
  return `${head}\n${kept}${text}\n${total > 0 ? `About ${duration(total)} in all, as fast as this machine was just now.\n` : ''}`;
}
