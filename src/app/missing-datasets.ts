/**
 * The known data sets that a config reads while they are not there yet, told by its paths; fetched before anything is
 * read.
 */
import {existsSync} from 'node:fs';
import path from 'node:path';
import type {Config} from '../config/schema.js';
import type {Fetching} from '../datasets/fetch.js';
import {datasetFolder, datasets, type Dataset} from '../datasets/known.js';
import {bytes} from '../words.js';

/** Those whose folder in the home's data/ is missing, while a source of the config lies in it. */
export function missingDatasets(
  {labelled, validation, unlabelled, test}: Config,
  home: string,
  known: readonly Dataset[] = datasets,
): Dataset[] {
  const paths = [labelled.source, validation.source, test, ...unlabelled].flatMap(source =>
    source === null ? [] : [pathOf(source)],
  );
  return known.filter(dataset => {
    const folder = datasetFolder(home, dataset);
    return !existsSync(folder) && paths.some(given => given === folder || given.startsWith(folder + path.sep));
  });
}

/** `kind:path?split=...` without its kind and split. */
const pathOf = (source: string): string => source.replace(/^[a-z0-9]+:/, '').replace(/\?split=\w+$/, '');

/** One line a data set: what would be downloaded, how much, and from where. */
export const fetchPlan = (missing: readonly Dataset[]): string[] =>
  missing.map(dataset => `${dataset.title} (${dataset.contents}, ${bytes(dataset.bytes)}) from ${dataset.address}`);

/** The same as fields of JSON, with where each would come to lie. */
export const fetchPlanWire = (missing: readonly Dataset[], home: string): object[] =>
  missing.map(dataset => ({
    name: dataset.name,
    address: dataset.address,
    bytes: dataset.bytes,
    path: datasetFolder(home, dataset),
  }));

export async function fetchMissing(
  missing: readonly Dataset[],
  fetching: Pick<Fetching, 'home' | 'signal' | 'emit'>,
): Promise<void> {
  fetching.emit({
    type: 'note',
    stage: null,
    message: `not in ${path.join(fetching.home, 'data')} yet, so fetched first: ${missing.map(({title}) => title).join(', ')}`,
  });
  // Here, so that runs that fetch nothing do without the network's library, whose WebAssembly reserves 10 GB of address
  // space.
  const {fetchDatasets} = await import('../datasets/fetch.js');
  await fetchDatasets(missing, {...fetching, mirror: null});
}
