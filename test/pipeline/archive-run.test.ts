import {mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import {expect, it, onTestFinished} from 'vitest';
import {runPaths} from '../../src/home.js';
import {archiveRun} from '../../src/pipeline/archive-run.js';
import {damageOf} from '../../src/pipeline/damage.js';
import {stampOf} from '../../src/pipeline/stamp.js';
import {openStore, openStoreToRead, type Store} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {query} from '../store/new-store.js';

/** A run `birds` with a file, and a finished stage that vouches for it. */
async function aRun() {
  const paths = runPaths(await temporaryFolder(), 'birds');
  mkdirSync(path.dirname(paths.pack('train')), {recursive: true});
  writeFileSync(paths.pack('train'), 'pixels');
  const store = openStore(paths.database);
  onTestFinished(() => store.close());
  store.run.take('birds', {pid: 1, host: 'here', since: 'now'});
  store.run.setConfig('{"seed":1}');
  const finish = (name: string) =>
    store.stages.finish({name, status: 'done', ingredients: {}, seconds: 1, summary: {}, outputs: []});
  return {paths, store, finish};
}

const stagesIn = (database: string) => query(database, 'SELECT name FROM stages ORDER BY name').map(({name}) => name);

/** Somebody who reads the database and keeps what they saw, so that later commits cannot be moved out of the log. */
function reader(database: string) {
  const connection = new Database(database, {readonly: true});
  onTestFinished(() => void connection.close());
  connection.exec('BEGIN');
  const read = () => connection.prepare('SELECT name FROM stages ORDER BY name').pluck().all();
  read();
  return {read, close: () => connection.close()};
}

it('keeps every row of a run while somebody reads it, whose view stays as it was', async () => {
  const {paths, finish} = await aRun();
  finish('prepare');
  const somebody = reader(paths.database);
  finish('teacher');
  expect(await archiveRun(paths)).toBe('birds@1');
  expect(stagesIn(runPaths(paths.home, 'birds@1').database)).toEqual(['prepare', 'teacher']);
  expect(somebody.read()).toEqual(['prepare']);
});

it('keeps the run whole under the new name: its files are where its records say, and trusted without being read', async () => {
  const {paths, store} = await aRun();
  const file = paths.pack('train');
  store.stages.finish({
    name: 'prepare',
    status: 'done',
    ingredients: {},
    seconds: 1,
    summary: {},
    outputs: [
      {name: 'train', path: path.relative(paths.home, file), sha256: 'not looked at', stamp: await stampOf(file)},
    ],
  });
  await archiveRun(paths);
  const archive = openStoreToRead(runPaths(paths.home, 'birds@1').database) as Store;
  onTestFinished(() => archive.close());
  expect(archive.run.config()).toEqual({seed: 1});
  expect(
    await damageOf({name: 'prepare'}, archive.stages.read('prepare')!, {store: archive, home: paths.home}, () => {}),
  ).toEqual([]);
  expect(readFileSync(runPaths(paths.home, 'birds@1').pack('train'), 'utf8')).toBe('pixels');
});

it('leaves the run as it is under its own, and takes the next free name for the next', async () => {
  const {paths, store, finish} = await aRun();
  finish('prepare');
  store.packs.write('train', {made: 'so', files: {train: (await stampOf(paths.pack('train')))!}});
  mkdirSync(path.join(paths.home, 'data', 'birds@1'));
  expect(await archiveRun(paths)).toBe('birds@2');
  finish('teacher');
  expect(await archiveRun(paths)).toBe('birds@3');
  expect(store.run.name()).toBe('birds');
  expect(stagesIn(runPaths(paths.home, 'birds@2').database)).toEqual(['prepare']);
  expect(stagesIn(paths.database)).toEqual(['prepare', 'teacher']);
  // A link gives a file another change time; what was packed is trusted by its new one.
  expect(store.packs.read('train')?.files).toEqual({train: await stampOf(paths.pack('train'))});
});
