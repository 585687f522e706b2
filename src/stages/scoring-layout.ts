/** Decides how scoring shares the machine out: by its keys, or by a short trial on the first images of the pool. */
import {PROTOCOL, type Decoding, type Layout, type TaskOf} from '../children/protocol.js';
import type {LocatedImage} from '../store/images.js';
import {plural, rate} from '../words.js';
import type {StageContext} from './context.js';
import {runDecoder} from './tasks.js';
import {gateCulprits} from './failures.js';
import {scoreShardOf} from './hand-out-shards.js';

/** A GPU has the threads of such a batch to fill; a CPU's caches hold little more than the other. */
const BATCH = {cpu: 32, gpu: 256};
/** Fewer are done before a trial tells how long they would take. */
const FEWEST_IMAGES = 2000;

/** Of each worker: what the keys say, and where they say `auto` what suits most machines. */
export function defaultLayout({
  handling: {layout},
  device,
  threads,
  scorers,
}: Pick<StageContext, 'handling' | 'device' | 'threads' | 'scorers'>): Layout {
  const own = Math.max(1, Math.floor(threads / scorers.length));
  const given = (value: number | 'auto', otherwise: number) => (value === 'auto' ? otherwise : value);
  return {
    batchSize: given(layout.batch_size, device.startsWith('cuda') ? BATCH.gpu : BATCH.cpu),
    decodeThreads: given(layout.decode_threads, own),
    networks: given(layout.networks, 1),
    networkThreads: given(layout.network_threads, Math.max(1, Math.floor(own / given(layout.networks, 1)))),
  };
}

/** The parts of the layout that no key sets, in the order in which a trial searches them. */
export function searchedParts({
  handling: {layout},
  device,
}: Pick<StageContext, 'handling' | 'device'>): TaskOf<'trial'>['searched'] {
  const onGpu = device.startsWith('cuda');
  const parts = [
    ['networks', layout.networks === 'auto' && layout.network_threads === 'auto' && !onGpu],
    // On a GPU every size needs a search for its kernels, and all large ones are about as fast.
    ['batchSize', layout.batch_size === 'auto' && !onGpu],
    ['networkThreads', layout.network_threads === 'auto' && !onGpu],
    ['decodeThreads', layout.decode_threads === 'auto'],
  ] as const;
  return parts.filter(([, isSearched]) => isSearched).map(([part]) => part);
}

/** The layout for scoring `images` of the pool, of which `sample` are some. Says what the trial found. */
export async function findLayout(
  context: StageContext,
  {
    model,
    decoding,
    images,
    sample,
  }: {
    readonly model: string;
    readonly decoding: Decoding;
    readonly images: number;
    readonly sample: readonly LocatedImage[];
  },
): Promise<Layout> {
  const {device, emit} = context;
  const layout = defaultLayout(context);
  const searched = searchedParts(context);
  if (searched.length === 0 || images < FEWEST_IMAGES) return layout;
  const sampled = new Map(sample.map(image => [image.id, image]));
  const found = await runDecoder<'trial'>(
    context,
    precautions => ({
      protocol: PROTOCOL,
      task: 'trial',
      model,
      device,
      decoding,
      precautions,
      layout,
      searched,
      images,
    }),
    {
      stage: 'score',
      part: 'trial',
      decoding,
      lines: () => [scoreShardOf(0, '-', sample)],
      onCulprit: gateCulprits(context, {stage: 'score', of: images, placeOf: id => sampled.get(id)?.place ?? id}),
      pictureOf: id => sampled.get(id) ?? null,
    },
  );
  if (found.tried > 1) {
    const gain = found.imagesPerSecond / found.firstImagesPerSecond;
    emit({
      type: 'note',
      stage: 'score',
      message: `${layoutWords(found.layout)}: ${rate(found.imagesPerSecond)} images/s in a trial of ${plural(found.tried, 'layout')}${gain > 1 ? `, ${gain.toFixed(2)} times as many as with ${layoutWords(layout)}` : ''}`,
    });
  }
  return found.layout;
}

const layoutWords = ({batchSize, decodeThreads, networks, networkThreads}: Layout): string =>
  `batches of ${batchSize}, ${decodeThreads} decoding, ${plural(networks, 'network')} of ${plural(networkThreads, 'thread')}`;
