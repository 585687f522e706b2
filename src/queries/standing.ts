/** Where each stage of a run stands, and why. */
import type {Stop} from '../children/child.js';
import {UserError} from '../errors.js';
import {stageNames, type StageName} from '../events.js';
import {inspect} from '../pipeline/run.js';
import {contextFor} from '../stages/context.js';
import {stages} from '../stages/index.js';
import {headlineOf} from '../stages/summaries.js';
import {isLocked} from '../store/lock.js';
import type {OutputRecord, RecordedStatus} from '../store/stages.js';
import type {OpenRun} from './open-run.js';
import {poolOutlook, reasonsInNumbers} from './pool-outlook.js';

/** `running` is believed only while somebody holds the lock. */
export type Standing = 'fresh' | 'stale' | 'never' | 'running' | 'interrupted' | 'failed';

export interface StageStanding {
  readonly name: StageName;
  readonly status: Standing;
  readonly reason: string;
  readonly seconds: number;
  /** What it came to in one line; empty where it did not. */
  readonly headline: string;
  readonly outputs: readonly OutputRecord[];
}

/** The stages in order, compared with the settings, sources and files as they are now. Nothing is written. */
export async function standingsOf({store, config, paths}: OpenRun, stop: Stop): Promise<StageStanding[]> {
  const held = isLocked(paths.lock);
  const verdicts = new Map<StageName, {fresh: boolean; reason: string}>();
  try {
    const context = await contextFor(config, {paths, store, stop, emit: () => {}, executor: null});
    const plan = await inspect(stages, context);
    const outlook = plan.some(({verdict}) => !verdict.fresh) ? await poolOutlook(context) : null;
    const inNumbers = reasonsInNumbers(plan, outlook, store);
    for (const {stage, verdict} of plan)
      verdicts.set(stage.name, {...verdict, reason: inNumbers[stage.name] ?? verdict.reason});
  } catch (error) {
    // The run can be looked at where its pictures cannot.
    if (!(error instanceof UserError)) throw error;
    for (const name of stageNames) verdicts.set(name, {fresh: false, reason: `cannot be checked: ${error.message}`});
  }
  const isStarting = held && stageNames.every(name => store.stages.read(name) === null);
  return stageNames.map((name, index): StageStanding => {
    if (isStarting && index === 0)
      return {name, status: 'running', reason: 'starting', seconds: 0, headline: '', outputs: []};
    const record = store.stages.read(name);
    const {fresh, reason} =
      record?.status === 'running' && held ? {fresh: false, reason: 'being worked on'} : verdicts.get(name)!;
    const headline = headlineOf(record?.summary);
    return {
      name,
      status: standing(record?.status ?? null, fresh, held),
      reason,
      seconds: record?.seconds ?? 0,
      headline,
      outputs: record?.outputs ?? [],
    };
  });
}

function standing(recorded: RecordedStatus | null, fresh: boolean, held: boolean): Standing {
  if (recorded === null) return 'never';
  if (recorded === 'running') return held ? 'running' : 'interrupted';
  if (recorded === 'interrupted' || recorded === 'failed') return recorded;
  return fresh ? 'fresh' : 'stale';
}
