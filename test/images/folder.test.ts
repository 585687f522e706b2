import {execFileSync} from 'node:child_process';
import {writeFileSync} from 'node:fs';
import {chmod, mkdir, symlink} from 'node:fs/promises';
import {describe, expect, it} from 'vitest';
import {ownFolders} from '../../src/home.js';
import {openFolder} from '../../src/images/folder.js';
import {entriesOf, filesOf} from './listed.js';
import {put} from './pictures.js';
import {temporaryFolder} from './temporary-folder.js';

const isRoot = process.getuid?.() === 0;

describe('a labelled folder', () => {
  it('takes its first level as classes, whatever is nested below, an empty class included', async () => {
    const root = await temporaryFolder();
    await put(`${root}/cat/1.png`, 'a');
    await put(`${root}/cat/wild/2.png`, 'b');
    await put(`${root}/dog/3.png`, 'c');
    await mkdir(`${root}/eel`);
    const source = await openFolder(root, {labelled: true});
    expect(await source.classes()).toEqual(['cat', 'dog', 'eel']);
    expect((await entriesOf(source)).map(({file, label, problem}) => [file, label, problem])).toEqual([
      ['cat/1.png', 'cat', null],
      ['cat/wild/2.png', 'cat', null],
      ['dog/3.png', 'dog', null],
    ]);
  });

  it('sets an image aside that lies in no class', async () => {
    const root = await temporaryFolder();
    await put(`${root}/stray.png`, 'a');
    await put(`${root}/cat/1.png`, 'b');
    const [, stray] = await entriesOf(await openFolder(root, {labelled: true}));
    expect(stray).toMatchObject({file: 'stray.png', label: null, problem: {code: 'NO_LABEL'}});
  });
});

describe('an unlabelled folder', () => {
  it('lists every file at any depth without labels, and leaves out hidden and side files', async () => {
    const root = await temporaryFolder();
    for (const file of [
      '1.png',
      'a/2.jpg',
      'a/b/c/3.webp',
      'html.jpg',
      'no-extension',
      '.hidden.png',
      '.git/4.png',
      'a/Thumbs.db',
      'README.md',
      'LICENCE',
      'labels.csv',
      'license_plate_1.png',
      'readme.jpg',
    ]) {
      await put(`${root}/${file}`, file);
    }
    const source = await openFolder(root, {labelled: false});
    const entries = await entriesOf(source);
    expect(entries.map(({file}) => file)).toEqual([
      '1.png',
      'a/2.jpg',
      'a/b/c/3.webp',
      'html.jpg',
      'license_plate_1.png',
      'no-extension',
      'readme.jpg',
    ]);
    expect(
      entries.every(
        ({label, member, offset, problem}) => label === null && member === null && offset === null && problem === null,
      ),
    ).toBe(true);
    expect(source.notes).toEqual([
      '3 side files (such as .txt, .csv, .json) left out',
      expect.stringMatching(/^3 hidden or service files and folders \(such as .*\) left out$/),
    ]);
    expect(await source.classes()).toBeNull();
  });

  it('leaves out the folders of the home that it is in, and says which; not a source inside them', async () => {
    const home = await temporaryFolder();
    for (const file of [
      'cat/1.png',
      'data/run/packs/2.png',
      'data/demo/3.png',
      'models/run/4.png',
      'db/run.sqlite',
      'cat/data/5.png',
    ])
      await put(`${home}/${file}`, file);
    const own = ownFolders(home);
    const around = await openFolder(home, {labelled: false, ownFolders: own});
    expect((await entriesOf(around)).map(({file}) => file)).toEqual(['cat/1.png', 'cat/data/5.png']);
    expect(around.notes).toEqual([expect.stringMatching(/^pupil's own data, db, models left out/)]);
    expect(await (await openFolder(home, {labelled: true, ownFolders: own})).classes()).toEqual(['cat']);
    expect(
      (await entriesOf(await openFolder(`${home}/data`, {labelled: false, ownFolders: own}))).map(({file}) => file),
    ).toEqual(['demo/3.png']);
    expect(
      (await entriesOf(await openFolder(`${home}/data/demo`, {labelled: false, ownFolders: own}))).map(
        ({file}) => file,
      ),
    ).toEqual(['3.png']);
  });

  it('handles names that are options, have newlines or are no UTF-8 as data', async () => {
    const root = await temporaryFolder();
    await put(`${root}/--help.jpg`, 'a');
    await put(`${root}/-rf`, 'b');
    await put(`${root}/two\nlines.png`, 'c');
    execFileSync('sh', ['-c', `printf d > "$(printf '${root}/caf\\351.png')"`]);
    const files = (await entriesOf(await openFolder(root, {labelled: false}))).map(({file}) => file);
    expect(files).toEqual(['--help.jpg', '-rf', 'caf\\xe9.png', 'two\\x0alines.png']);
  });

  it('never follows a link out of its root, and follows one to a file inside', async () => {
    const root = await temporaryFolder();
    const outside = await temporaryFolder();
    await put(`${outside}/secret.png`, 'a');
    await put(`${root}/real/1.png`, 'b');
    await symlink(`${outside}/secret.png`, `${root}/out.png`);
    await symlink(outside, `${root}/out`);
    await symlink('real/1.png', `${root}/in.png`);
    await symlink('real', `${root}/in`);
    await symlink('nowhere', `${root}/broken.png`);
    await symlink('loop.png', `${root}/loop.png`);
    const source = await openFolder(root, {labelled: false});
    expect((await entriesOf(source)).map(({file, problem}) => [file, problem?.code])).toEqual([
      ['broken.png', 'UNREADABLE'],
      ['in.png', undefined],
      ['loop.png', 'UNREADABLE'],
      ['out', 'OUTSIDE_ROOT'],
      ['out.png', 'OUTSIDE_ROOT'],
      ['real/1.png', undefined],
    ]);
    expect(source.notes).toEqual(['in is a link to a folder and was not followed']);
  });

  it('lists a pipe as no file, without waiting for it', async () => {
    const root = await temporaryFolder();
    execFileSync('mkfifo', [`${root}/pipe.png`]);
    expect(await entriesOf(await openFolder(root, {labelled: false}))).toMatchObject([
      {file: 'pipe.png', problem: {code: 'NOT_A_FILE'}},
    ]);
  });

  it.skipIf(isRoot)('names a folder that it may not list', async () => {
    const root = await temporaryFolder();
    await put(`${root}/locked/1.png`, 'a');
    await chmod(`${root}/locked`, 0);
    expect(await entriesOf(await openFolder(root, {labelled: false}))).toMatchObject([
      {file: 'locked', problem: {code: 'UNREADABLE'}},
    ]);
    await chmod(`${root}/locked`, 0o700);
  });

  it('knows its files by their stats, which change with them', async () => {
    const root = await temporaryFolder();
    await put(`${root}/a/1.png`, 'one');
    await put(`${root}/2.png`, 'four');
    const source = await openFolder(root, {labelled: false});
    const before = await filesOf(source);
    expect(before.map(({file}) => file)).toEqual(['2.png', 'a/1.png']);
    let after: typeof before;
    do {
      // File systems tell time in ticks of some milliseconds: what is written within the same one has the same stats.
      await put(`${root}/a/1.png`, 'two');
      after = await filesOf(source);
    } while (after[1]?.stamp === before[1]?.stamp);
    expect(after[0]).toEqual(before[0]);
  });

  it('lists ten thousand files without holding them', async () => {
    const root = await temporaryFolder();
    await mkdir(`${root}/many`);
    for (let i = 0; i < 10_000; i++) writeFileSync(`${root}/many/${i}.png`, '');
    let seen = 0;
    for await (const lot of (await openFolder(root, {labelled: false})).entries(new AbortController().signal))
      seen += lot.filter(({problem}) => problem === null).length;
    expect(seen).toBe(10_000);
  });
});
