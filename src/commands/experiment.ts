/** `pupil experiment FILE`: runs an experiment and prints the table of what its arms came to. */
import {runExperiment} from '../app/experiment.js';
import type {Stop} from '../children/child.js';
import {toWire} from '../children/protocol.js';
import {readExperiment} from '../config/experiment.js';
import {UserError} from '../errors.js';
import type {Emit} from '../events.js';
import {experimentFile} from '../home.js';
import {rowsForScripts} from '../report/experiment-results.js';
import {terminalTable} from '../report/experiment-table.js';
import {jsonView, viewFor} from '../report/terminal.js';
import {dryRunOfExperiment} from './dry-run-experiment.js';

export interface ExperimentCommandFlags {
  readonly home: string;
  readonly file: string;
  readonly device?: string | undefined;
  readonly python?: string | undefined;
  readonly json: boolean;
  readonly dryRun: boolean;
}

export async function experiment(flags: ExperimentCommandFlags, stop: Stop): Promise<void> {
  const {home} = flags;
  const plan = readExperiment(flags, home);
  if (flags.dryRun) return await dryRunOfExperiment(plan, flags, stop);

  const view = flags.json ? jsonView(process.stdout) : viewFor(process.stderr, stop.requested);
  // For people what is fresh of dozens of runs is not worth a line each.
  const emit: Emit = event => {
    const known =
      event.type === 'stage_fresh' ||
      (event.type === 'started' && plan.runs.some(({config}) => config.run === event.run));
    if (flags.json || !known) view.emit(event);
  };
  try {
    const {results, failures} = await runExperiment(plan, flags, stop, emit);
    view.close();
    if (flags.json) process.stdout.write(`${toWire({type: 'results', ...results, rows: rowsForScripts(results)})}\n`);
    else
      process.stdout.write(
        `${results.runs.length === 0 ? '' : `\n${terminalTable(results)}\n`}\nReport: ${experimentFile(home, plan.name, 'table.html')}\n`,
      );
    const [first] = failures;
    if (first)
      throw new UserError(
        first.error.code,
        `${failures.length} of ${plan.runs.length} runs failed, first ${first.run}. Mend it and run the same command again; what is done stays.`,
        {cause: first.error},
      );
  } finally {
    view.close();
  }
}
