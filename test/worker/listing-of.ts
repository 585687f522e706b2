/** What the `index` task tells of one source, run inside the test's process. */
import {PROTOCOL, type Problem} from '../../src/children/protocol.js';
import {parseSource} from '../../src/images/source.js';
import {listedImages, type ListedImage} from '../../src/pool/listing-files.js';
import {indexSources} from '../../src/worker/index-sources.js';
import {temporaryFolder} from '../images/temporary-folder.js';

export interface Listing {
  /** Everything that the source lists, what cannot be used included. */
  readonly entries: readonly {
    readonly file: string;
    readonly member: string | null;
    readonly label: string | null;
    readonly problem: Problem | null;
  }[];
  readonly images: readonly ListedImage[];
  /** Places of the images. */
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
  const unusable: Listing['entries'][number][] = [];
  const listing = await temporaryFolder();
  const {sources} = await indexSources(
    {
      protocol: PROTOCOL,
      task: 'index',
      sources: [{...(await parseSource(spec, folder)), labelled, listing, known: []}],
      cache: await temporaryFolder(),
      ownFolders,
      maxFileBytes: 1_000_000,
      readThreads: 2,
    },
    {
      signal: new AbortController().signal,
      emit(event) {
        if (event.type === 'unusable') unusable.push(...event.images.map(image => ({...image, label: null})));
        return Promise.resolve();
      },
    },
  );
  const images: ListedImage[] = [];
  for await (const image of listedImages(listing, sources[0]!.chunks.length)) images.push(image);
  return {
    entries: [...images.map(image => ({...image, problem: null})), ...unusable],
    images,
    pictures: images.map(({file, member}) => (member === null ? file : `${file}#${member}`)),
    classes: sources[0]!.classes,
    notes: sources[0]!.notes,
  };
}
