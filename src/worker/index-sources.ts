/** The `index` task: lists every image of every source, with its id or the reason why it has none. */
import type {IndexEntry, TaskOf, TaskResult} from '../children/protocol.js';
import {className, quoted} from '../images/class-name.js';
import {imageIdOf} from '../images/image-id.js';
import {openSource, type Entry, type Source} from '../images/source.js';
import {trackProgress, type Emit} from './events.js';
import {readAhead} from './read-ahead.js';
import type {TaskContext} from './task-context.js';

type IndexTask = TaskOf<'index'>;
type SourceResult = TaskResult<'index'>['sources'][number];

const ENTRIES_PER_EVENT = 500;

/** Numbers in their own order, names by code unit. */
const inOrder = (labels: Iterable<string>) => {
  const sorted = [...labels].sort();
  return sorted.every(label => /^\d+$/.test(label)) ? sorted.sort((a, b) => Number(a) - Number(b)) : sorted;
};

/** Gives labels their one form, and remembers which had another. */
class ClassNames {
  private readonly forms = new Map<string, string>();

  formOf(label: string, place: string): string {
    const known = this.forms.get(label);
    if (known !== undefined) return known;
    const form = className(label, place);
    this.forms.set(label, form);
    return form;
  }

  notes(): string[] {
    const changed = [...this.forms].filter(([label, form]) => label !== form);
    const [first] = changed;
    if (first === undefined) return [];
    return [
      `${changed.length === 1 ? '1 class name was' : `${changed.length} class names were`} brought to one form (Unicode NFC, no blanks at the ends): ${quoted(first[0])} is ${quoted(first[1])}${changed.length > 1 ? ', for example' : ''}`,
    ];
  }
}

interface Listing {
  /** Of the source in its task. */
  number: number;
  labelled: boolean;
  count: (images: number) => Promise<void>;
  signal: AbortSignal;
  emit: Emit;
}

async function indexSource(
  source: Source,
  {maxFileBytes, readThreads}: IndexTask,
  {number, labelled, count, signal, emit}: Listing,
): Promise<SourceResult> {
  const labels = new Set<string>();
  const names = new ClassNames();
  let images = 0;
  let listed: IndexEntry[] = [];

  const send = async () => {
    const entries = listed;
    listed = [];
    if (entries.length > 0) await emit({type: 'indexed', source: number, entries});
    await count(entries.length);
  };
  const list = async (entry: IndexEntry) => {
    listed.push(entry);
    if (entry.id !== null) {
      images++;
      if (entry.label !== null) labels.add(entry.label);
    }
    if (listed.length === ENTRIES_PER_EVENT) await send();
  };
  async function* readable(): AsyncGenerator<[Entry & {entry: Entry}]> {
    for await (const listed of source.entries(signal)) {
      const entry =
        listed.label === null
          ? listed
          : {...listed, label: names.formOf(listed.label, `${source.root}/${listed.file}`)};
      if (entry.problem !== null) await list({...entry, id: null});
      else yield [{...entry, file: `${source.root}/${entry.file}`, entry}];
    }
  }

  for await (const reads of readAhead(readable(), {threads: readThreads, maxFileBytes, signal})) {
    for (const {item, bytes, problem} of reads)
      await list(
        problem === null ? {...item.entry, id: imageIdOf(bytes)} : {...item.entry, label: null, id: null, problem},
      );
  }
  await send();
  const declared = (await source.classes())?.map(name => names.formOf(name, source.root));
  return {
    classes: labelled ? (declared === undefined ? inOrder(labels) : [...new Set(declared)]) : null,
    images,
    notes: [...source.notes, ...names.notes()],
    warnings: source.warnings,
  };
}

/** Lists all sources of the task. Nothing is decoded: an entry with an id may still be no image. */
export async function indexSources(
  task: IndexTask,
  {signal, emit}: Pick<TaskContext, 'signal' | 'emit'>,
): Promise<TaskResult<'index'>> {
  const count = trackProgress(emit, null);
  const sources: SourceResult[] = [];
  for (const [number, {labelled, ...spec}] of task.sources.entries()) {
    const source = await openSource(spec, {labelled, cache: task.cache, ownFolders: task.ownFolders});
    sources.push(await indexSource(source, task, {number, labelled, count, signal, emit}));
  }
  return {sources};
}
