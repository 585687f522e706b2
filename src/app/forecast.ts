/** What a run would do now and why, and how much that is. Nothing is written. */
import {existsSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import type {Stop} from '../children/child.js';
import {findPython} from '../children/python-env.js';
import {openExecutor} from '../children/executor.js';
import {configsOfRounds} from '../config/rounds.js';
import type {Config} from '../config/schema.js';
import type {StageName} from '../events.js';
import {temporaryFolder} from '../files/temporary.js';
import {runPaths} from '../home.js';
import {inspect, type Wanted} from '../pipeline/run.js';
import {contextFor} from '../stages/context.js';
import {withDevice} from '../stages/device.js';
import {stages} from '../stages/index.js';
import {blankStore, openStoreToRead} from '../store/open.js';
import {adviceOnChange, otherData} from './bring-up-to-date.js';
import {countImages, estimate, measureSpeeds, type Estimate} from './estimate.js';
import {changedInputs} from './inputs.js';
import {takenWords} from '../words.js';
import {poolOutlook, reasonsInNumbers, scoresStand, unscored} from '../queries/pool-outlook.js';

export interface ForecastRequest {
  readonly home: string;
  readonly python?: string | undefined;
  readonly acceptChange: boolean;
  /** Called before the machine's speed is measured, which takes a while. */
  readonly onMeasuring: () => void;
}

export interface Forecast {
  readonly run: string;
  readonly device: string;
  /** Before any stage both children prove the device; null where nothing would run. */
  readonly provingSeconds: number | null;
  /** What changed of the pictures that figures rest on: the run as it is would be kept under another name. */
  readonly change: string | null;
  readonly stages: readonly {
    readonly name: StageName;
    readonly wanted: boolean;
    readonly fresh: boolean;
    readonly reason: string;
    readonly amount: Estimate;
  }[];
}

/**
 * The rounds of a run in order, as far as they can be looked into: one that began, where the one before it is done.
 * `later` are the others, of which every stage that follows from a teacher would run. Throws what the run itself would
 * be refused with.
 */
export async function forecastRounds(
  config: Config,
  wanted: Wanted,
  request: ForecastRequest,
  stop: Stop,
): Promise<{readonly rounds: readonly Forecast[]; readonly later: readonly string[]}> {
  const [first = config, ...others] = configsOfRounds(config, request.home);
  const rounds = [await forecast(first, wanted, request, stop)];
  const later = others.map(({run}) => run);
  for (const round of others) {
    const before = rounds.at(-1)!;
    if (
      !existsSync(runPaths(request.home, round.run).database) ||
      before.stages.some(({fresh, wanted}) => wanted && !fresh)
    )
      break;
    rounds.push(await forecast(round, {}, request, stop));
    later.shift();
  }
  return {rounds, later};
}

async function forecast(
  config: Config,
  wanted: Wanted,
  {home, python, acceptChange, onMeasuring}: ForecastRequest,
  stop: Stop,
): Promise<Forecast> {
  const paths = runPaths(home, config.run);
  const [blank, store] = [blankStore(), openStoreToRead(paths.database)];
  const executor = openExecutor();
  // The children's configs and logs go where nothing of the run lies.
  const attempts = temporaryFolder('dry-run');
  try {
    const context = await contextFor(config, {
      paths: {...paths, attempts},
      store: store ?? blank,
      stop,
      emit: () => {},
      executor,
    });
    const change = await changedInputs(context);
    if (change !== null && !acceptChange) throw otherData(paths.run, change, adviceOnChange(paths.run));
    const plan = await inspect(stages, context, wanted);
    // Before anything is measured: it may be what the run is refused for.
    const outlook = await poolOutlook(context);
    const inNumbers = reasonsInNumbers(plan, outlook, context.store);
    const counts = {
      ...(await countImages(context)),
      ...(outlook !== null && {
        listedAnew: outlook.listedAnew,
        ...(scoresStand(plan) && {unscored: unscored(outlook, context.store)}),
      }),
    };
    const nothingToDo = plan.every(({wanted, verdict, kept}) => !wanted || verdict.fresh || kept !== null);
    if (!nothingToDo) onMeasuring();
    const measured = nothingToDo ? null : await withDevice(context, findPython(python));
    const speeds = measured && (await measureSpeeds(measured));
    const amounts = estimate(context, counts, speeds);
    return {
      run: paths.run,
      device: measured?.device ?? config.device,
      provingSeconds: speeds && speeds.startUps.trainer,
      change,
      stages: plan.map(({stage: {name}, wanted, verdict: {fresh, reason}, kept}) => ({
        name,
        wanted,
        fresh: fresh || kept !== null,
        reason: kept === null ? (inNumbers[name] ?? reason) : takenWords(kept.run),
        amount: amounts[name],
      })),
    };
  } finally {
    await executor.close();
    blank.close();
    store?.close();
    await rm(attempts, {recursive: true, force: true});
  }
}
