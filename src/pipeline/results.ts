/**
 * What the stages of a home's runs made, kept by what it was made from: a run takes what another has made in the place
 * of making it again. A result is a folder, data/.results/STAGE/KEY: its files, which are links to those of the runs, its
 * rows, and what is recorded of it.
 */
import {createHash, randomUUID} from 'node:crypto';
import {existsSync} from 'node:fs';
import {mkdir, readdir, readFile, rename, writeFile} from 'node:fs/promises';
import path from 'node:path';
import pLimit from 'p-limit';
import {z} from 'zod';
import {systemCode, throwIfStopped} from '../errors.js';
import {linkOrCopy} from '../files/link.js';
import {publishFolder, sync} from '../files/publish.js';
import {resultsFolder, type RunPaths} from '../home.js';
import {curvesOf, type OwnRows} from '../store/stage-rows.js';
import type {Store} from '../store/open.js';
import {hashOf, removeKnown, stampOf, stateOf} from './file-hash.js';
import type {Ingredients} from './stage.js';

const recordSchema = z.object({
  /** Of the schema of the database whose rows it holds. */
  version: z.number(),
  stage: z.string(),
  /** Of the run that made it. */
  run: z.string(),
  finishedAt: z.string(),
  ingredients: z.record(z.string(), z.string()),
  status: z.enum(['done', 'skipped']),
  seconds: z.number(),
  summary: z.unknown(),
  /** `file` is where it lies in models/RUN or data/RUN, less the name of the run; null for a product in rows. */
  outputs: z.array(z.object({name: z.string(), file: z.string().nullable(), sha256: z.string()})),
  /** SHA-256 of the file of its rows. */
  rows: z.string(),
});
type ResultRecord = z.infer<typeof recordSchema>;

export interface Result extends ResultRecord {
  readonly key: string;
  readonly folder: string;
}

/** What may be kept of a stage: what a run recorded of it when it finished. */
export type Finished = Pick<ResultRecord, 'stage' | 'ingredients' | 'status' | 'seconds' | 'summary'> & {
  readonly outputs: readonly {readonly name: string; readonly path: string | null; readonly sha256: string}[];
};

/** Where a result is kept from, or taken to. */
export interface RunHandle {
  readonly paths: RunPaths;
  readonly store: Store;
  readonly signal: AbortSignal;
}

const [RECORD, ROWS, FILES] = ['result.json', 'rows.sqlite', 'files'];

/** By which a result is found: of the stage, and of all that it depends on. */
export const keyOf = (stage: string, ingredients: Ingredients): string =>
  createHash('sha256')
    .update(JSON.stringify([stage, Object.entries(ingredients).toSorted(([one], [other]) => (one < other ? -1 : 1))]))
    .digest('hex')
    .slice(0, 32);

const folderOf = (home: string, stage: string, key: string): string => path.join(resultsFolder(home), stage, key);

/** Where a file lies, less the name of the run: `models/teacher/model.safetensors`. */
function withoutRun({models, data}: RunPaths, file: string): string {
  for (const [kind, folder] of [
    ['models', models],
    ['data', data],
  ] as const)
    if (file.startsWith(folder + path.sep)) return path.join(kind, path.relative(folder, file));
  throw new Error(`${file} is no file of a run, and cannot be kept.`);
}

export const withinRun = ({models, data}: RunPaths, file: string): string =>
  path.join(file.startsWith('models') ? models : data, path.relative(file.split(path.sep)[0]!, file));

const seal = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The result of this folder; null where there is none that is as it was written. */
async function readResult(folder: string): Promise<Result | null> {
  try {
    const [text = '', sealed = ''] = (await readFile(path.join(folder, RECORD), 'utf8')).split('\n');
    if (seal(text) !== sealed) return null;
    // One of another pupil may look otherwise.
    const record = recordSchema.safeParse(JSON.parse(text));
    return record.success ? {...record.data, key: path.basename(folder), folder} : null;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return null;
    throw error;
  }
}

/** The result of a stage from exactly these ingredients; null where none is kept that this database can take. */
export async function findResult(
  {paths: {home}, store}: Pick<RunHandle, 'paths' | 'store'>,
  stage: string,
  ingredients: Ingredients,
): Promise<Result | null> {
  const found = await readResult(folderOf(home, stage, keyOf(stage, ingredients)));
  return found?.version === store.version ? found : null;
}

/** A folder in which a result is kept, or was to be: null where that was cut short, or cannot be read any more. */
export interface KeptFolder {
  readonly stage: string;
  readonly key: string;
  readonly folder: string;
  readonly result: Result | null;
}

/** Those of a stage, or of all, by name. */
export async function keptFolders(home: string, stage?: string): Promise<KeptFolder[]> {
  const found: KeptFolder[] = [];
  const stages =
    stage === undefined ? (await namesIn(resultsFolder(home))).filter(name => !name.startsWith('.')) : [stage];
  for (const name of stages)
    for (const key of await namesIn(path.join(resultsFolder(home), name))) {
      const folder = folderOf(home, name, key);
      // One that is being made, or going, is whole only by chance.
      const isPassing = key.endsWith('.tmp');
      found.push({stage: name, key, folder, result: isPassing ? null : await readResult(folder)});
    }
  return found;
}

/** The results of a stage, or of all. */
export const allResults = async (home: string, stage?: string): Promise<Result[]> =>
  (await keptFolders(home, stage)).flatMap(({result}) => result ?? []);

const namesIn = async (folder: string): Promise<string[]> => (existsSync(folder) ? (await readdir(folder)).sort() : []);

/**
 * Keeps what a stage of this run made, unless it is kept already. Returns whether its files take no further room: else
 * the file system cannot link, and they were copied.
 */
export async function keepResult(
  {paths, store, signal}: RunHandle,
  {stage, ingredients, status, seconds, summary, outputs}: Finished,
  rows: readonly OwnRows[],
): Promise<{readonly linked: boolean}> {
  const folder = folderOf(paths.home, stage, keyOf(stage, ingredients));
  const asKept = outputs.map(({name, path: file, sha256}) => ({
    name,
    file: file === null ? null : withoutRun(paths, path.join(paths.home, file)),
    sha256,
  }));
  const isKept = async () => {
    const before = await readResult(folder);
    return (
      before?.version === store.version &&
      JSON.stringify(before.outputs) === JSON.stringify(asKept) &&
      (await damageOfResult(before, {store, signal})) === null
    );
  };
  if (await isKept()) return {linked: true};
  let linked = true;
  await mkdir(path.dirname(folder), {recursive: true});
  // Of its own: another run may be about to keep the same.
  const made = temporaryOf(folder);
  await publishFolder(made, async temporary => {
    await eachFile(asKept, signal, async (file, sha256) => {
      if (!(await giveFile(store, withinRun(paths, file), path.join(temporary, FILES, file), sha256))) linked = false;
    });
    const rowsFile = path.join(temporary, ROWS);
    store.rows.write(rowsFile, [...rows, curvesOf(stage)]);
    const record: ResultRecord = {
      version: store.version,
      stage,
      run: paths.run,
      finishedAt: new Date().toISOString(),
      ingredients,
      status,
      seconds,
      summary,
      outputs: asKept,
      rows: (await hashOf(rowsFile, store.hashes, signal))!,
    };
    const text = JSON.stringify(record);
    await writeFile(path.join(temporary, RECORD), `${text}\n${seal(text)}\n`);
  });
  if (await isKept()) await discardResult({folder: made}, store);
  else {
    await discardResult({folder}, store);
    await rename(made, folder).catch(async (error: unknown) => {
      // Another run was as fast, and has kept the same.
      if (!['ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? '')) throw error;
      await discardResult({folder: made}, store);
    });
    await sync(path.dirname(folder));
  }
  return {linked};
}

const temporaryOf = (folder: string): string => `${folder}.${randomUUID()}.tmp`;

/** A file that was to be linked is gone, or is another one now: somebody removed the result, or damaged it. */
export class ResultGone extends Error {
  override readonly name = 'ResultGone';
  constructor(file: string, options?: ErrorOptions) {
    super(`${file} went away or was changed while it was linked.`, options);
  }
}

/** A pool has thousands of score files, and each waits for the disk. */
const FILES_AT_A_TIME = 8;

async function eachFile(
  outputs: ResultRecord['outputs'],
  signal: AbortSignal,
  work: (file: string, sha256: string) => Promise<void>,
): Promise<void> {
  const limit = pLimit(FILES_AT_A_TIME);
  const ends = await Promise.allSettled(
    outputs.map(async ({file, sha256}) => {
      if (file === null) return;
      await limit(async () => {
        throwIfStopped(signal);
        await work(file, sha256);
      });
    }),
  );
  // None is left at work where one failed: what they write into may be removed.
  const failed = ends.find(end => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Links a file that has this hash, and remembers it: a link changes the times by which a file is known. */
async function giveFile({hashes}: Store, from: string, to: string, sha256: string): Promise<boolean> {
  if ((await stateOf(from, sha256, hashes)) !== 'whole') throw new ResultGone(from);
  const linked = await linkOrCopy(from, to).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') throw new ResultGone(from, {cause: error});
    throw error;
  });
  const stamp = await stampOf(to);
  if (stamp !== null) hashes.set(stamp, sha256);
  return linked;
}

/** The files of a product of a result, where they are kept. */
export const filesOf = ({folder, outputs}: Result, product: string): string[] =>
  outputs.flatMap(({name, file}) => (name === product && file !== null ? [path.join(folder, FILES, file)] : []));

/** The first file of a result that is not what was kept; null where all are. */
export async function damageOfResult(
  result: Result,
  {store, signal}: Pick<RunHandle, 'store' | 'signal'>,
): Promise<string | null> {
  for (const {path: file, sha256} of filesOfResult(result))
    if ((await stateOf(file, sha256, store.hashes, signal)) !== 'whole') return file;
  return null;
}

/** All files of a result, its rows among them, where they are kept, with their hashes. */
export const filesOfResult = ({folder, outputs, rows}: Result): {path: string; sha256: string}[] => [
  ...outputs.flatMap(({file, sha256}) => (file === null ? [] : [{path: path.join(folder, FILES, file), sha256}])),
  {path: path.join(folder, ROWS), sha256: rows},
];

/** Names that differ only in a number are those of one kind of file, such as shards; others may be somebody else's. */
const shapeOf = (name: string): string => name.replace(/\d+/g, '#');

/**
 * Puts the files and rows of a whole result where a run has them. Nothing is recorded: what the stage vouched for before
 * must have been taken back.
 */
export async function placeResult(
  {folder, stage, outputs}: Result,
  {paths, store, signal}: RunHandle,
  {rows, before}: {readonly rows: readonly OwnRows[]; readonly before: readonly string[]},
): Promise<{readonly linked: boolean}> {
  let linked = true;
  const placed = new Map<string, Set<string>>();
  await eachFile(outputs, signal, async (file, sha256) => {
    const to = withinRun(paths, file);
    if (!(await giveFile(store, path.join(folder, FILES, file), to, sha256))) linked = false;
    const names = placed.get(path.dirname(to)) ?? new Set();
    placed.set(path.dirname(to), names.add(path.basename(to)));
  });
  // What the stage had made before, and is no part of this: whoever reads a whole folder would take it for one.
  const former = new Set(before.map(file => path.join(paths.home, file)));
  for (const [into, names] of placed) {
    const shapes = new Set([...names].map(shapeOf));
    for (const name of await readdir(into))
      if (!names.has(name) && (shapes.has(shapeOf(name)) || former.has(path.join(into, name))))
        await removeKnown(path.join(into, name), store.hashes);
    await sync(into);
  }
  store.rows.read(path.join(folder, ROWS), [...rows, curvesOf(stage)]);
  return {linked};
}

/** Puts the only file of a product of a whole result at `to`; returns whether it was there to the end. */
export async function placeFile(
  {folder, outputs}: Result,
  product: string,
  to: string,
  {store}: Pick<RunHandle, 'store'>,
): Promise<boolean> {
  const found = outputs.find(({name, file}) => name === product && file !== null);
  if (found?.file == null) throw new Error(`${folder} holds no ${product}.`);
  try {
    await giveFile(store, path.join(folder, FILES, found.file), to, found.sha256);
  } catch (error) {
    if (error instanceof ResultGone) return false;
    throw error;
  }
  await sync(path.dirname(to));
  return true;
}

/** Removes a result: at once for whoever looks for it, then from the disk. */
export async function discardResult({folder}: Pick<Result, 'folder'>, {hashes}: Pick<Store, 'hashes'>): Promise<void> {
  const going = folder.endsWith('.tmp') ? folder : temporaryOf(folder);
  try {
    if (going !== folder) await rename(folder, going);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  await removeKnown(going, hashes);
}
