/** `pupil status`: where each stage of a run stands, and why. */
import type {Stop} from '../children/child.js';
import {UserError} from '../errors.js';
import {stageNames, type StageName} from '../events.js';
import {inspect} from '../pipeline/run.js';
import {printable, printableJson} from '../printable.js';
import {table} from '../report/table.js';
import {painter} from '../report/terminal.js';
import {widthOf} from '../report/wrap.js';
import {contextFor} from '../stages/context.js';
import {stages} from '../stages/index.js';
import {isLocked} from '../store/lock.js';
import type {OutputRecord} from '../store/stages.js';
import {count, duration} from '../words.js';
import {openRun, tellOtherRounds, type OpenRun, type RunFlags} from '../queries/find-run.js';

/** What people see of a stage. `running` is believed only while somebody holds the lock. */
type Standing = 'fresh' | 'stale' | 'never' | 'running' | 'interrupted' | 'failed';

interface Row {
  readonly name: StageName;
  readonly status: Standing;
  readonly reason: string;
  readonly seconds: number;
  readonly headline: string;
  readonly outputs: readonly OutputRecord[];
}

const SET_ASIDE_SHOWN = 20;

export async function status(flags: RunFlags & {readonly json: boolean}, stop: Stop): Promise<void> {
  const run = openRun(flags);
  try {
    const rows = await standings(run, stop);
    if (flags.json) {
      const listed = rows.map(({name, status, reason, seconds, outputs}) => ({
        name,
        status,
        reason,
        seconds,
        outputs: outputs.filter(output => output.path !== null).map(({path, sha256}) => ({path, sha256})),
      }));
      process.stdout.write(`${printableJson({run: run.paths.run, stages: listed})}\n`);
      return;
    }
    const paint = painter(process.stdout);
    const body = rows.map(row => [row.name, row.status, row.seconds === 0 ? '' : duration(row.seconds), row.status === 'fresh' && row.headline !== '' ? row.headline : row.reason]);
    const text = table(['stage', 'status', 'time', ''], body, {align: ['left', 'left', 'right'], width: widthOf(process.stdout)});
    process.stdout.write(`${paint('bold', `Run ${run.paths.run} in ${printable(run.paths.home)}`)}\n${text}\n${setAside(run)}`);
    tellOtherRounds(run.paths);
  } finally {
    run.store.close();
  }
}

async function standings({store, config, paths}: OpenRun, stop: Stop): Promise<Row[]> {
  const held = isLocked(paths.lock);
  const verdicts = new Map<StageName, {fresh: boolean; reason: string}>();
  try {
    const context = await contextFor(config, {paths, store, stop, emit: () => {}});
    for (const {stage, verdict} of await inspect(stages, context, {restamp: false})) verdicts.set(stage.name, verdict);
  } catch (error) {
    // The run can be looked at where its pictures cannot.
    if (!(error instanceof UserError)) throw error;
    for (const name of stageNames) verdicts.set(name, {fresh: false, reason: `cannot be checked: ${error.message}`});
  }
  const isStarting = held && stageNames.every(name => store.stages.read(name) === null);
  return stageNames.map((name, index): Row => {
    if (isStarting && index === 0) return {name, status: 'running', reason: 'starting', seconds: 0, headline: '', outputs: []};
    const record = store.stages.read(name);
    const {fresh, reason} = record?.status === 'running' && held ? {fresh: false, reason: 'being worked on'} : verdicts.get(name)!;
    const headline = record?.summary !== null && typeof record?.summary === 'object' && 'headline' in record.summary ? String(record.summary.headline) : '';
    return {name, status: standing(record?.status ?? null, fresh, held), reason, seconds: record?.seconds ?? 0, headline, outputs: record?.outputs ?? []};
  });
}

function standing(recorded: 'running' | 'interrupted' | 'failed' | 'done' | 'skipped' | null, fresh: boolean, held: boolean): Standing {
  if (recorded === null) return 'never';
  if (recorded === 'running') return held ? 'running' : 'interrupted';
  if (recorded === 'interrupted' || recorded === 'failed') return recorded;
  return fresh ? 'fresh' : 'stale';
}

function setAside({store}: OpenRun): string {
  const counts = store.quarantine.counts();
  if (counts.length === 0) return '';
  const lines = counts.map(({stage, code, images}) => `  ${count(images)} ${code} in ${stage}`);
  const examples = store.quarantine.some('%', SET_ASIDE_SHOWN).map(row => `  ${row.code.padEnd(16)} ${printable(`${row.place}: ${row.detail}`)}`);
  const total = counts.reduce((sum, {images}) => sum + images, 0);
  const more = total > SET_ASIDE_SHOWN ? `  and ${count(total - SET_ASIDE_SHOWN)} more, in the table quarantine of the run's database\n` : '';
  return `\nImages set aside:\n${lines.join('\n')}\n${examples.join('\n')}\n${more}`;
}
