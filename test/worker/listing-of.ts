/** What the `index` task tells of one source, run inside the test's process. */
import {PROTOCOL, type IndexEntry} from '../../src/children/protocol.js';
import {parseSource} from '../../src/images/source.js';
import {indexSources} from '../../src/worker/index-sources.js';
import {temporaryFolder} from '../images/temporary-folder.js';

export interface Listing {
  readonly entries: readonly IndexEntry[];
  /** Places of those that can be read. */
  readonly pictures: readonly string[];
  readonly classes: readonly string[] | null;
  readonly notes: readonly string[];
}

/** `spec` as people type it, relative to `folder`. */
export async function listingOf(
  folder: string,
  spec: string,
  {labelled = true, ownFolders = []}: {labelled?: boolean; ownFolders?: string[]} = {},
): Promise<Listing> {
  const entries: IndexEntry[] = [];
  const {sources} = await indexSources(
    {
      protocol: PROTOCOL,
      task: 'index',
      sources: [{...(await parseSource(spec, folder)), labelled}],
      cache: await temporaryFolder(),
      ownFolders,
      maxFileBytes: 1_000_000,
      readThreads: 2,
    },
    {
      signal: new AbortController().signal,
      emit(event) {
        if (event.type === 'indexed') entries.push(...event.entries);
        return Promise.resolve();
      },
    },
  );
  const pictures = entries
    .filter(({id}) => id !== null)
    .map(({file, member}) => (member === null ? file : `${file}#${member}`));
  return {entries, pictures, classes: sources[0]!.classes, notes: sources[0]!.notes};
}
