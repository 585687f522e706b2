import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import {rename, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {beforeEach, expect, it, onTestFinished} from 'vitest';
import {runPaths, type RunPaths} from '../../src/home.js';
import {copyRun} from '../../src/pipeline/copy-run.js';
import {mostAlike} from '../../src/pipeline/most-alike.js';
import {inspect, runStages, type EngineContext} from '../../src/pipeline/run.js';
import type {Stage} from '../../src/pipeline/stage.js';
import {openStore, type Store} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';

interface Field extends EngineContext {
  readonly paths: RunPaths;
  readonly seed: string;
  readonly press: string;
}

/** `prepare` reaps two files of a seed, `teacher` presses one of them. */
const stages: Stage<Field>[] = [
  {
    name: 'prepare',
    version: 1,
    reads: [],
    ingredients: ({seed}) => ({seed}),
    run: async ({paths, seed}) => {
      const files = ['husk', 'grain'].map(name => paths.pack(name));
      mkdirSync(path.dirname(files[0]!), {recursive: true});
      for (const file of files) await writeFile(file, `${path.basename(file)} of ${seed}`);
      return {outputs: [{name: 'harvest', files}], summary: {}, headline: 'reaped'};
    },
  },
  {
    name: 'teacher',
    version: 1,
    reads: ['prepare.harvest'],
    ingredients: ({press}) => ({press}),
    run: async ({paths, press}) => {
      const oil = paths.model('teacher', 'oil');
      mkdirSync(path.dirname(oil), {recursive: true});
      await writeFile(`${oil}.new`, `${readFileSync(paths.pack('grain'), 'utf8')} by ${press}`);
      await rename(`${oil}.new`, oil);
      return {outputs: [{name: 'oil', files: [oil]}], summary: {}, headline: 'pressed'};
    },
  },
];

let home: string;
beforeEach(async () => {
  home = await temporaryFolder();
});

function field(run: string, press: string): Field {
  const paths = runPaths(home, run);
  const store = openStore(paths.database);
  onTestFinished(() => store.close());
  return {home, paths, store, signal: new AbortController().signal, emit: () => {}, seed: 'rape', press};
}

async function grown(run: string, press: string): Promise<Field> {
  const context = field(run, press);
  context.store.run.take(run, {pid: 1, host: 'here', since: 'now'});
  await runStages(stages, context, {});
  return context;
}

const reasons = async (context: Field) =>
  (await inspect(stages, context, {restamp: false})).map(({verdict}) => verdict.reason);
const stampsOf = (store: Store) => stages.flatMap(({name}) => store.stages.read(name)!.outputs.map(({stamp}) => stamp));

it('shares the files of the run it was copied from, and is as fresh as that is', async () => {
  const first = await grown('first', 'cold');
  writeFileSync(path.join(first.paths.data, 'packs', 'half.tmp'), 'left by a killed process');
  mkdirSync(first.paths.attempts, {recursive: true});
  writeFileSync(path.join(first.paths.attempts, 'trainer.log'), 'of the first run');
  expect(
    await copyRun(first.paths, runPaths(home, 'second'), {
      fresh: ['prepare', 'teacher'],
      relatives: [],
      history: false,
    }),
  ).toEqual({linked: true});
  const second = field('second', 'cold');
  for (const relative of ['packs/husk', 'packs/grain'])
    expect(statSync(path.join(second.paths.data, relative)).ino).toBe(
      statSync(path.join(first.paths.data, relative)).ino,
    );
  expect(existsSync(path.join(second.paths.data, 'packs', 'half.tmp'))).toBe(false);
  expect(existsSync(second.paths.attempts)).toBe(false);
  expect(await reasons(second)).toEqual(['nothing changed', 'nothing changed']);
  expect(second.store.stages.read('teacher')!.outputs[0]!.path).toBe('models/second/teacher/oil');
  expect(second.store.run.holder()).toBe(null);
});

it('has what its sources list also where prepare is to run anew, and no other result of that', async () => {
  const first = await grown('first', 'cold');
  const listing = path.join(first.paths.listings, 'unlabelled-1', '00000.columns');
  mkdirSync(path.dirname(listing), {recursive: true});
  writeFileSync(listing, 'what a source lists');
  const record = first.store.stages.read('prepare')!;
  first.store.stages.finish({
    ...record,
    status: 'done',
    ingredients: record.ingredients!,
    summary: {headline: 'reaped'},
    outputs: [
      ...record.outputs,
      {name: 'index', path: path.relative(home, listing), sha256: 'a'.repeat(64), stamp: '0'},
    ],
  });
  const target = runPaths(home, 'second');
  await copyRun(first.paths, target, {fresh: ['teacher'], relatives: [], history: false});
  expect(readFileSync(path.join(target.listings, 'unlabelled-1', '00000.columns'), 'utf8')).toBe('what a source lists');
  expect(existsSync(target.pack('grain'))).toBe(false);
});

it('is trusted by its stamps in every run that shares it, so that no file is read again', async () => {
  const first = await grown('first', 'cold');
  await copyRun(first.paths, runPaths(home, 'second'), {fresh: ['prepare', 'teacher'], relatives: [], history: false});
  const second = field('second', 'cold');
  await copyRun(first.paths, runPaths(home, 'third'), {
    fresh: ['prepare', 'teacher'],
    relatives: [second.paths],
    history: false,
  });
  const third = field('third', 'cold');
  const files = (context: Field) => [
    context.paths.pack('husk'),
    context.paths.pack('grain'),
    context.paths.model('teacher', 'oil'),
  ];
  for (const context of [first, second, third]) {
    const now = files(context)
      .map(file => statSync(file, {bigint: true}))
      .map(({size, mtimeNs, ctimeNs, ino}) => `${size} ${mtimeNs} ${ctimeNs} ${ino}`);
    expect(stampsOf(context.store)).toEqual(now);
  }
});

it('does not vouch for a file that was garbled before it was copied', async () => {
  const first = await grown('first', 'cold');
  const grain = first.paths.pack('grain');
  const {atime, mtime} = statSync(grain);
  writeFileSync(grain, 'chaff of rape');
  utimesSync(grain, atime, mtime);
  await copyRun(first.paths, runPaths(home, 'second'), {fresh: ['prepare', 'teacher'], relatives: [], history: false});
  expect(await reasons(field('second', 'cold'))).toEqual([
    'data/second/packs/grain is not what was written',
    'follows prepare',
  ]);
});

it('goes its own way without a change to the run it was copied from', async () => {
  const first = await grown('first', 'cold');
  await copyRun(first.paths, runPaths(home, 'second'), {fresh: ['prepare', 'teacher'], relatives: [], history: false});
  const second = field('second', 'hot');
  expect((await runStages(stages, second, {})).prepare?.status).toBe('fresh');
  expect(readFileSync(second.paths.model('teacher', 'oil'), 'utf8')).toBe('grain of rape by hot');
  expect(readFileSync(first.paths.model('teacher', 'oil'), 'utf8')).toBe('grain of rape by cold');
  expect(await reasons(first)).toEqual(['nothing changed', 'nothing changed']);
});

it('has no result of its own where the run it was copied from has another: neither a record nor a file', async () => {
  const first = await grown('first', 'cold');
  const checkpoint = first.paths.model('teacher', 'checkpoint.pt');
  writeFileSync(checkpoint, 'half pressed');
  first.store.quarantine.add('teacher', '', {image: null, place: 'a husk', code: 'CORRUPT', detail: ''});
  first.store.quarantine.add('prepare', '', {image: null, place: 'a stone', code: 'CORRUPT', detail: ''});
  await copyRun(first.paths, runPaths(home, 'second'), {fresh: ['prepare'], relatives: [], history: false});
  const second = field('second', 'hot');
  expect(await reasons(second)).toEqual(['nothing changed', 'never ran']);
  expect(existsSync(second.paths.model('teacher', 'oil'))).toBe(false);
  expect(readFileSync(second.paths.model('teacher', 'checkpoint.pt'), 'utf8')).toBe('half pressed');
  expect(second.store.quarantine.some('%', 9).map(({place}) => place)).toEqual(['a stone']);
  expect(await reasons(first)).toEqual(['nothing changed', 'nothing changed']);
});

const otherDisk = existsSync('/dev/shm') && statSync('/dev/shm').dev !== statSync(tmpdir()).dev;
if (!otherDisk) console.warn('SKIPPED: a copy across file systems needs two of them.');

it.skipIf(!otherDisk)('copies bytes where the file system cannot link, and says so', async () => {
  const first = await grown('first', 'cold');
  const target = runPaths(home, 'second');
  const elsewhere = mkdtempSync('/dev/shm/pupil-');
  onTestFinished(() => rmSync(elsewhere, {recursive: true}));
  symlinkSync(elsewhere, target.data);
  expect(await copyRun(first.paths, target, {fresh: ['prepare', 'teacher'], relatives: [], history: false})).toEqual({
    linked: false,
  });
  expect(statSync(target.pack('grain')).dev).not.toBe(statSync(first.paths.pack('grain')).dev);
  expect(await reasons(field('second', 'cold'))).toEqual(['nothing changed', 'nothing changed']);
});

it('replaces what a copy left behind that was killed before its database', async () => {
  const first = await grown('first', 'cold');
  const target = runPaths(home, 'second');
  mkdirSync(path.dirname(target.pack('grain')), {recursive: true});
  writeFileSync(target.pack('grain'), 'half');
  writeFileSync(`${target.database}.tmp`, 'half');
  await copyRun(first.paths, target, {fresh: ['prepare', 'teacher'], relatives: [], history: false});
  expect(await reasons(field('second', 'cold'))).toEqual(['nothing changed', 'nothing changed']);
});

it('tells sources where their unpacked archive lies now', async () => {
  const first = await grown('first', 'cold');
  const spec = {kind: 'cifar100', path: '/pictures.tar.gz', split: null} as const;
  first.store.images.addSource('labelled', spec, first.paths.cache, 'a');
  first.store.images.addSource('unlabelled', spec, '/elsewhere', 'b');
  first.store.quarantine.add('prepare', 'labelled', {
    image: null,
    place: `${first.paths.cache}/a.tar#b/1`,
    code: 'CORRUPT',
    detail: '',
  });
  await copyRun(first.paths, runPaths(home, 'second'), {fresh: ['prepare', 'teacher'], relatives: [], history: false});
  const second = field('second', 'cold');
  expect(second.store.images.sources().map(({root}) => root)).toEqual([second.paths.cache, '/elsewhere']);
  expect(second.store.quarantine.some('%', 1)[0]!.place).toBe(`${second.paths.cache}/a.tar#b/1`);
});

it('starts from the run with most stages fresh, among equals from the one with more in common, and from none that has nothing', async () => {
  const cold = await grown('first', 'cold');
  const hot = await grown('second', 'hot');
  const blank = field('third', 'hot');
  const wanted = {home, signal: cold.signal, emit: cold.emit, seed: 'rape', press: 'hot'};
  const candidates = [blank, cold, hot].map(({paths, store}) => ({run: paths.run, context: {...wanted, paths, store}}));
  expect(await mostAlike(stages, candidates)).toMatchObject({run: {run: 'second'}, fresh: ['prepare', 'teacher']});
  expect(
    await mostAlike(
      stages,
      candidates.map(({run, context}) => ({run, context: {...context, press: 'lukewarm'}})),
    ),
  ).toMatchObject({run: {run: 'first'}, fresh: ['prepare']});
  expect(
    await mostAlike(
      stages,
      candidates.map(({run, context}) => ({run, context: {...context, seed: 'sunflower'}})),
    ),
  ).toBe(null);
});
