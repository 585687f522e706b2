/** Keeps what a run has come to under another name, NAME@1 or the next free number, while the run itself goes on. */
import {existsSync, renameSync, rmSync} from 'node:fs';
import {hostname} from 'node:os';
import path from 'node:path';
import type {StageName} from '../events.js';
import {runPaths, type RunPaths} from '../home.js';
import {sync} from '../files/publish.js';
import {removeKnown} from '../pipeline/file-hash.js';
import {allResults, findResult, type Result} from '../pipeline/results.js';
import {digestOfKept, productDigest} from '../pipeline/run.js';
import {take} from '../pipeline/sharing.js';
import type {Ingredients} from '../pipeline/stage.js';
import type {RunContext} from '../stages/context.js';
import {stages} from '../stages/index.js';
import {besideDatabase, openStore, type Store} from '../store/open.js';
import {keepRun} from './keep-runs.js';

/**
 * Returns the name, and the stages that it lacks though they were finished: what is damaged, or rests on what is not there
 * any more, is not in it. Its files take no further room.
 */
export async function archiveRun(context: RunContext): Promise<{readonly name: string; readonly lacks: string[]}> {
  const {paths, store} = context;
  await keepRun(context);
  const archive = freeName(paths);
  // It comes last, so that an archive which a kill cut short is no run, and gives its name to the next.
  const database = unfinished(archive);
  for (const left of [database, ...besideDatabase(database)]) rmSync(left, {force: true});
  const archived = openStore(database);
  let lacks: string[];
  try {
    for (const folder of [archive.data, archive.models]) await removeKnown(folder, store.hashes);
    lacks = await takeAll({...context, paths: archive, store: archived, emit: () => {}}, store);
  } finally {
    archived.close();
  }
  renameSync(database, archive.database);
  await sync(path.dirname(archive.database));
  return {name: archive.run, lacks};
}

const unfinished = ({database}: RunPaths): string => `${database}.new`;

async function takeAll(context: RunContext, from: Store): Promise<string[]> {
  const {paths, store} = context;
  store.run.take(paths.run, {pid: process.pid, host: hostname(), since: new Date().toISOString()});
  const lacks: string[] = [];
  for (const stage of stages) {
    const isFinished = (from.stages.read(stage.name)?.ingredients ?? null) !== null;
    const isFounded = stage.reads.every(reference => productDigest(store, reference) !== null);
    const kept = isFounded ? await keptOf(context, stage.name, from) : null;
    const taken = kept !== null && (await take(kept, stage, context));
    if (isFinished && !taken) lacks.push(stage.name);
  }
  store.run.setConfig(JSON.stringify(from.run.config()));
  return lacks;
}

/** What the run has of a stage; of one that is being made anew, what the others that stand rest on. */
async function keptOf(context: RunContext, stage: StageName, from: Store): Promise<Result | null> {
  const {paths, store} = context;
  const ingredients = from.stages.read(stage)?.ingredients ?? null;
  if (ingredients !== null) return await findResult(context, stage, ingredients);
  const restedOn = Object.entries(
    Object.assign({}, ...stages.map(({name}) => from.stages.read(name)?.ingredients ?? {})) as Ingredients,
  ).flatMap(([name, digest]) =>
    name.startsWith(`${stage}.`) ? [[name.slice(stage.length + 1), digest] as const] : [],
  );
  if (restedOn.length === 0) return null;
  const all = (await allResults(paths.home, stage)).filter(({version}) => version === store.version);
  return all.find(kept => restedOn.every(([product, digest]) => digestOfKept(kept, product) === digest)) ?? null;
}

/** The first name that is nobody's: somebody else's folder is one, and nothing is put into it. */
function freeName({home, run}: RunPaths): RunPaths {
  for (let version = 1; ; version++) {
    const archive = runPaths(home, `${run}@${version}`);
    const {database, data, models} = archive;
    const isOurs = existsSync(unfinished(archive));
    if (!existsSync(database) && (isOurs || ![data, models].some(place => existsSync(place)))) return archive;
  }
}
