import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {cp, mkdir, readFile} from 'node:fs/promises';
import path from 'node:path';
import {describe, expect, it} from 'vitest';
import {readConfig} from '../src/config/layers.js';
import {readExperiment} from '../src/config/experiment.js';
import {ownFolders, runPaths} from '../src/home.js';
import {program} from './commands/pupil.js';
import {put} from './images/pictures.js';
import {temporaryFolder} from './images/temporary-folder.js';
import {addSource, newStore} from './store/new-store.js';
import {listingOf} from './worker/listing-of.js';

/**
 * Small inputs of kinds that people reported of other tools, on which pupil was wrong once: see README.md beside them.
 */
const found = path.join(process.env['PUPIL_TEST_DATA'] ?? '', 'found');
const isThere = Boolean(process.env['PUPIL_TEST_DATA']) && existsSync(found);
if (!isThere) console.warn('SKIPPED: PUPIL_TEST_DATA names no folder that holds found/, inputs that failed once.');

const at = (...names: string[]) => path.join(found, ...names);
const refusal = (exitCode: number, message: RegExp) =>
  expect.objectContaining({exitCode, message: expect.stringMatching(message) as string}) as Error;

describe.skipIf(!isThere)('inputs that failed once', () => {
  it.each([
    [
      'list-latin1-merges-classes',
      'list.csv',
      /list\.csv: line 2 is no UTF-8 text \(byte 0x[0-9a-f]{2}\); .*iconv -f WINDOWS-1252/,
    ],
    ['list-latin1-merges-classes', 'latin.jsonl', /latin\.jsonl: line 1 is no UTF-8 text/],
    ['byte-order-marks', 'bad21.jsonl', /^Line 21 of .*bad21\.jsonl cannot be used/],
    ['small-messages', 'semi.csv', /its columns are "path;label"; it seems to be separated by semicolons/],
  ])('%s: %s is refused with its line, and with what to do', async (folder, list, message) => {
    await expect(listingOf(at(folder), list)).rejects.toThrow(refusal(3, message));
  });

  it.each([
    ['byte-order-marks', 'bom.jsonl'],
    ...['zstd', 'gzip', 'lz4', 'snappy'].map((codec): [string, string] => ['parquet-compression', `${codec}.parquet`]),
  ])('%s: %s is read', async (folder, list) => {
    const {pictures, classes} = await listingOf(at(folder), list);
    expect(pictures).toHaveLength(36);
    expect(classes).toEqual(['Bär', 'Bör', 'Löwe']);
  });

  it('ansi-labels.csv: control characters in a class name are refused, by their code points', async () => {
    const folder = await temporaryFolder();
    const list = await readFile(at('ansi-labels.csv'), 'utf8');
    for (const [name] of list.matchAll(/^[\w-]+\.png/gm)) await put(path.join(folder, name), name);
    await put(path.join(folder, 'list.csv'), list);
    await expect(listingOf(folder, 'list.csv')).rejects.toThrow(
      refusal(3, /^The class name "\\x1b\[31mRED.* holds U\+001B, U\+0007, U\+000A/),
    );
  });

  it.each([
    ['pool.tar', 60, false],
    ['labelled.tar', 36, true],
  ])('tar-dots-in-names: every picture of %s is found by its last extension', async (tar, pictures, labelled) => {
    const listing = await listingOf(at('tar-dots-in-names'), tar, {labelled});
    expect(listing.pictures).toHaveLength(pictures);
    if (labelled) expect(listing.classes).toHaveLength(3);
  });

  it('tar-appledouble: every sample keeps its label, and what a Mac left beside it is counted', async () => {
    const {pictures, classes, notes} = await listingOf(at('tar-appledouble'), 'train.tar');
    expect(pictures).toHaveLength(36);
    expect(classes).toHaveLength(3);
    expect(notes).toEqual([expect.stringMatching(/^72 hidden or service members \(such as train\.tar#\.\/\._/)]);
  });

  it('test-picture-two-labels: one picture under two labels is no test picture, and is told', async () => {
    const {store} = await newStore();
    const sets = [
      ['labelled', 'train'],
      ['test', 'test'],
    ] as const;
    for (const [role, folder] of sets) {
      const {images} = await listingOf(at('test-picture-two-labels'), folder);
      addSource(store, role, images);
    }
    store.atomically(() => store.images.setClasses(['blue', 'green', 'red']));
    const {conflicts} = store.atomically(() =>
      store.images.split({seed: 0, labelledPerClass: null, validation: {share: 0.1, atLeast: 5}, restIsPool: false}),
    );
    expect(conflicts.map(({detail}) => detail)).toEqual(
      Array(3).fill(expect.stringMatching(/^the same bytes are labelled \w+ and \w+ in the test set$/)),
    );
    expect(store.images.splitCounts('test', 3).reduce((sum, images) => sum + images)).toBe(15);
  });

  it('classes-alike-nfc-nfd: names that read the same are one class, and that is said', async () => {
    const {classes, notes} = await listingOf(at('classes-alike-nfc-nfd'), 'merged');
    expect(classes).toEqual(['blue', 'ch\u00e2teau']);
    expect(notes).toEqual([expect.stringContaining('"cha\\u{302}teau" is "château"')]);
    const [train, test] = [
      await listingOf(at('classes-alike-nfc-nfd'), 'train'),
      await listingOf(at('classes-alike-nfc-nfd'), 'test'),
    ];
    expect(new Set(test.classes)).toEqual(new Set(train.classes));
  });

  it('home-inside-pool: what pupil made in a home is no picture of the pool around it, the second time either', async () => {
    const home = path.join(await temporaryFolder(), 'copy');
    await cp(at('home-inside-pool'), home, {recursive: true});
    const before = await listingOf(home, '.', {labelled: false, ownFolders: ownFolders(home)});
    const {database, data, models} = runPaths(home, 'run');
    for (const [folder, file] of [
      [path.dirname(database), path.basename(database)],
      [path.join(data, 'packs', 'train'), 'images.u8'],
      [models, 'report.jpg'],
    ] as const) {
      await mkdir(folder, {recursive: true});
      await cp(path.join(home, 'photos', '0.jpg'), path.join(folder, file));
    }
    const after = await listingOf(home, '.', {labelled: false, ownFolders: ownFolders(home)});
    expect([...after.pictures].sort()).toEqual([...before.pictures].sort());
    expect(after.notes).toContain(
      "pupil's own data, db, models left out: nothing that the home holds is a picture of a folder around it",
    );
  });

  it('experiment-arms-with-numbers: arms keep the order of the file', () => {
    const {arms, reference} = readExperiment({file: at('experiment-arms-with-numbers', 'topk.yaml')}, '/home');
    expect(arms.map(({name}) => name)).toEqual(['default', '400', '100']);
    expect(reference).toBe('default');
  });

  it('bomb.yaml: too many aliases are a mistake of the file', () => {
    expect(() => readConfig({file: at('bomb.yaml')}, '/home')).toThrow(refusal(2, /bomb\.yaml has too many aliases/));
  });

  it('small-messages: numbers in teacher.classes become names', () => {
    const {teacher} = readConfig(
      {
        labelled: '/a',
        unlabelled: ['/b'],
        teacher: at('small-messages', 'logits.onnx'),
        set: ['teacher.classes=[0, 1, 2]'],
      },
      '/home',
    );
    expect(teacher.classes).toEqual(['0', '1', '2']);
  });
});

it.skipIf(!existsSync('/dev/full'))(
  'a full disk behind stdout is told in a line (exit 4), whatever the command',
  async () => {
    const home = await temporaryFolder();
    for (const args of [['runs', '--home', home], ['--help']]) {
      const {status, stderr} = spawnSync(
        'sh',
        ['-c', 'exec "$@" > /dev/full', 'sh', process.execPath, program, ...args],
        {encoding: 'utf8'},
      );
      expect([status, stderr]).toEqual([4, expect.stringMatching(/^Cannot write to stdout: .*ENOSPC.*\n$/)]);
    }
  },
);
