/** `pupil orchestrate --dry-run`: what would run and why, and how much that is; nothing is written. */
import {existsSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import path from 'node:path';
import type {Stop} from '../children/child.js';
import {findPython} from '../children/python-env.js';
import type {Config} from '../config/schema.js';
import type {StageName} from '../events.js';
import {runPaths} from '../home.js';
import {inspect, type Wanted} from '../pipeline/run.js';
import {printableJson} from '../printable.js';
import {table} from '../report/table.js';
import {painter} from '../report/terminal.js';
import {widthOf} from '../report/wrap.js';
import {contextFor, withDevice} from '../stages/context.js';
import {configsOfRounds} from '../config/rounds.js';
import {demoPicturesFolder, lacksDemoPictures} from '../app/demo-pictures.js';
import {countImages, estimate, measureSpeeds, type Estimate} from '../app/estimate.js';
import {stages} from '../stages/index.js';
import {fetchPlan, fetchPlanWire, missingDatasets} from '../app/missing-datasets.js';
import {changedInputs} from '../app/inputs.js';
import {blankStore, openStoreToRead} from '../store/open.js';
import {temporaryFolder} from '../files/temporary.js';
import {bytes, count, duration, MEASURING} from '../words.js';
import {adviceOnChange, otherData} from '../app/bring-up-to-date.js';

interface DryRunName extends Wanted {
  readonly home: string;
  readonly python?: string | undefined;
  readonly json: boolean;
  readonly acceptChange: boolean;
}

interface Looked {
  readonly run: string;
  readonly device: string;
  /** Before any stage both children prove the device; null where nothing would run. */
  readonly provingSeconds: number | null;
  /** Where a run of this name would be kept, since the data is no longer its own. */
  readonly change: string | null;
  readonly stages: readonly {readonly name: StageName; readonly wanted: boolean; readonly fresh: boolean; readonly reason: string; readonly amount: Estimate}[];
}

export async function dryRun(config: Config, flags: DryRunName, stop: Stop): Promise<void> {
  if (lacksDemoPictures(config, flags.home)) {
    const pictures = demoPicturesFolder(flags.home);
    if (flags.json) process.stdout.write(`${printableJson({run: config.run, demo_pictures: pictures, stages: []})}\n`);
    else process.stdout.write(`The demo would draw its pictures into ${pictures} first, and then run every stage: ${stages.map(stage => stage.name).join(', ')}.\n`);
    return;
  }
  const missing = missingDatasets(config, flags.home);
  if (missing.length > 0) {
    // What the stages would do with them is known once they are there.
    const names = stages.map(stage => stage.name).join(', ');
    if (flags.json) process.stdout.write(`${printableJson({run: config.run, datasets: fetchPlanWire(missing, flags.home), stages: []})}\n`);
    else process.stdout.write(`It would fetch first, into ${path.join(flags.home, 'data')}:\n  ${fetchPlan(missing).join('\n  ')}\nand then run every stage: ${names}. Nothing was written.\n`);
    return;
  }
  const [first = config, ...others] = configsOfRounds(config, flags.home);
  const looked = [await look(first, flags, flags, stop)];
  // A round can be looked into where it began and the one before it is done; else all that follows from its teacher would run.
  const later = others.map(({run}) => run);
  for (const round of others) {
    const before = looked.at(-1)!;
    if (!existsSync(runPaths(flags.home, round.run).database) || before.stages.some(({fresh, wanted}) => wanted && !fresh)) break;
    looked.push(await look(round, flags, {}, stop));
    later.shift();
  }
  if (flags.json) {
    const [{run, device, stages: listed}] = looked as [Looked];
    process.stdout.write(`${printableJson({run, device, stages: wire(listed), rounds: looked.slice(1).map(round => ({run: round.run, stages: wire(round.stages)})), later})}\n`);
    return;
  }
  process.stdout.write(looked.map(round => words(round, flags.home)).join('\n'));
  if (later.length > 0) process.stdout.write(`Then ${later.join(', ')}, each with the student before as its teacher: every stage but prepare would run.\n`);
  process.stdout.write('Nothing was written.\n');
}

/** Throws what the run itself would be refused with. */
async function look(config: Config, {home, python, acceptChange}: DryRunName, wanted: Wanted, stop: Stop): Promise<Looked> {
  const paths = runPaths(home, config.run);
  const [blank, store] = [blankStore(), openStoreToRead(paths.database)];
  // The children's configs and logs go where nothing of the run lies.
  const attempts = temporaryFolder('dry-run');
  try {
    const found = await contextFor(config, {paths: {...paths, attempts}, store: store ?? blank, stop, emit: () => {}});
    const change = await changedInputs(found, {trustAnew: false});
    if (change !== null && !acceptChange) throw otherData(paths.run, change, adviceOnChange(paths.run));
    const context = change === null ? found : {...found, store: blank};
    const plan = await inspect(stages, context, {restamp: false, wanted});
    // Before anything is measured: it may be what the run is refused for.
    const counts = await countImages(context);
    const nothingToDo = plan.every(({wanted, verdict}) => !wanted || verdict.fresh);
    if (!nothingToDo) process.stderr.write(MEASURING);
    const measured = nothingToDo ? null : await withDevice(context, findPython(python));
    const speeds = measured && (await measureSpeeds(measured));
    const amounts = estimate(context, counts, speeds);
    return {
      run: paths.run,
      device: measured?.device ?? config.device,
      provingSeconds: speeds && speeds.startUps.trainer,
      change,
      stages: plan.map(({stage: {name}, wanted, verdict: {fresh, reason}}) => ({name, wanted, fresh, reason, amount: amounts[name]})),
    };
  } finally {
    blank.close();
    store?.close();
    await rm(attempts, {recursive: true, force: true});
  }
}

const wire = (listed: Looked['stages']): object[] => listed.map(({name, wanted, fresh, reason, amount}) => ({name, status: fresh ? 'fresh' : 'stale', wanted, reason, ...amount}));

function words({run, device, provingSeconds, change, stages: listed}: Looked, home: string): string {
  const shown = (value: number | null, words: (value: number) => string) => (value === null || value === 0 ? '' : words(value));
  const rows = listed.map(({name, wanted, fresh, reason, amount: {images, steps, bytes: size, seconds}}) => {
    if (!wanted) return [name, 'not asked for', '', '', '', '', reason];
    if (fresh) return [name, 'fresh', '', '', '', '', reason];
    return [name, 'would run', shown(images, count), shown(steps, count), shown(size, bytes), shown(seconds, duration), reason];
  });
  const text = table(['stage', '', 'images', 'steps', 'disk', 'time', 'reason'], rows, {
    align: ['left', 'left', 'right', 'right', 'right', 'right'],
    width: widthOf(process.stdout),
  });
  const total = listed.reduce((sum, {wanted, fresh, amount}) => sum + (wanted && !fresh ? (amount.seconds ?? 0) : 0), provingSeconds ?? 0);
  const head = painter(process.stdout)('bold', `Run ${run} in ${home}`) + (provingSeconds === null ? '' : ` on ${device}`);
  const kept = change === null ? '' : `The data changed, so the run would start over, and the one that there is be kept under another name:\n  ${change}\n`;
  return `${head}\n${kept}${text}\n${total > 0 ? `About ${duration(total)} in all, as fast as this machine was just now.\n` : ''}`;
}
