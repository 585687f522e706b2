/** `pupil fetch`: brings data sets into a home by their names. */
import {didYouMean} from '../did-you-mean.js';
import {fetchDatasets, lockFile} from '../datasets/fetch.js';
import {datasetFolder, datasets, type Dataset} from '../datasets/known.js';
import {UserError} from '../errors.js';
import type {Stop} from '../children/child.js';
import {jsonView, viewFor} from '../report/terminal.js';
import {explainFault} from '../machine-fault.js';
import {failedEvent} from './failed-event.js';

export interface FetchFlags {
  readonly home: string;
  readonly datasets: readonly string[];
  readonly mirror?: string | undefined;
  readonly json: boolean;
}

export async function fetchByName({home, datasets: names, mirror, json}: FetchFlags, stop: Stop): Promise<void> {
  const wanted = [...new Set(names)].map(datasetCalled);
  const view = json ? jsonView(process.stdout) : viewFor(process.stderr, stop.requested);
  try {
    await fetchDatasets(wanted, {
      home,
      mirror: mirror === undefined ? null : checkedMirror(mirror),
      signal: stop.requested,
      emit: view.emit,
    });
  } catch (thrown) {
    const error = explainFault(thrown, {home, database: lockFile(home)});
    if (json) view.emit(failedEvent(error));
    throw error;
  } finally {
    view.close();
  }
  if (!json) process.stdout.write(wanted.map(dataset => `${datasetFolder(home, dataset)}\n`).join(''));
}

function datasetCalled(name: string): Dataset {
  const found = datasets.find(dataset => dataset.name === name);
  if (found) return found;
  const names = datasets.map(dataset => dataset.name);
  throw new UserError(
    'NO_SUCH_DATASET',
    `There is no data set ${JSON.stringify(name)}. Data sets: ${names.join(', ')}.${didYouMean(name, names)}`,
  );
}

function checkedMirror(mirror: string): string {
  if (URL.canParse(mirror) && /^https?:$/.test(new URL(mirror).protocol)) return mirror;
  throw new UserError(
    'BAD_ARGUMENTS',
    `--mirror ${mirror}: expected an address under which the archives lie by their own names, such as https://mirror.example.org/data.`,
  );
}
