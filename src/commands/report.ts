/** `pupil report`: writes a run's report anew, and names it. */
import type {Stop} from '../children/child.js';
import {openExecutor} from '../children/executor.js';
import {UserError} from '../errors.js';
import {stageNames} from '../events.js';
import {inspect, runStages} from '../pipeline/run.js';
import {viewFor} from '../report/terminal.js';
import {contextFor} from '../stages/context.js';
import {changedInputs} from '../app/inputs.js';
import {stages} from '../stages/index.js';
import {takeLock} from '../store/lock.js';
import {openStore} from '../store/open.js';
import {adviceOnChange, otherData} from '../app/bring-up-to-date.js';
import {openRun, requireIntact, type RunName} from '../queries/open-run.js';
import {tellOtherRounds} from './other-rounds.js';

export async function report(flags: RunName, stop: Stop): Promise<void> {
  const {paths, config, store: looked} = openRun(flags);
  let evaluated;
  try {
    evaluated = looked.stages.read('evaluate');
    if (evaluated?.status === 'done')
      requireIntact({store: looked, paths}, ...stageNames.filter(name => name !== 'report'));
  } finally {
    looked.close();
  }
  if (evaluated?.status !== 'done')
    throw new UserError(
      'NO_RESULT_YET',
      `Run ${paths.run} has no results yet: its evaluate stage has not finished. Run pupil orchestrate.`,
    );
  const lock = takeLock(paths.lock);
  if (lock === null)
    throw new UserError('BUSY_RUN', `Run ${paths.run} is being worked on; its report is written at the end.`);
  const view = viewFor(process.stderr, stop.requested);
  const [store, executor] = [openStore(paths.database), openExecutor()];
  try {
    const context = await contextFor(config, {paths, store, stop, emit: view.emit, executor});
    const change = await changedInputs(context);
    if (change !== null) throw otherData(paths.run, change, adviceOnChange(paths.run));
    // It prints the settings as they are now: of others there is nothing to report.
    await inspect(stages, context, {only: 'report'});
    await runStages(stages, context, {only: 'report'});
  } finally {
    view.close();
    await executor.close();
    store.close();
    lock.release();
  }
  process.stdout.write(`${paths.report}\n`);
  tellOtherRounds(paths);
}
