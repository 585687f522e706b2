import {cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync, utimesSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {afterAll, beforeAll, beforeEach, describe, expect, it} from 'vitest';
import {openStoreToRead} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {colours, copyOf, lastingFolder, orchestrate, outputOf, picture, pupil, writeData, type Data} from './pupil.js';

const {folder, remove} = lastingFolder();
const pristine = path.join(folder, 'pristine');
/** What the runs are made from; each test gets it whole, and may change it. */
const data: Data = {folder: path.join(folder, 'data'), config: path.join(folder, 'data', 'colours.yaml')};
const prepared = path.join(folder, 'prepared');
const file = (relative: string): string => path.join(data.folder, relative);

beforeAll(async () => {
  await writeData(pristine, 20);
  copyOf(pristine, data.folder);
  await orchestrate(data, prepared, '--until', 'prepare');
});
beforeEach(() => {
  rmSync(data.folder, {recursive: true});
  copyOf(pristine, data.folder);
});
afterAll(remove);

const newHome = async () => path.join(await temporaryFolder(), 'home');

/** A run that was prepared from the data as they were, and the command that made it. */
async function aRun() {
  const home = copyOf(prepared, await newHome());
  return {home, again: async (...args: string[]) => await pupil(['orchestrate', data.config, '--home', home, '--until', 'prepare', ...args])};
}

const statusIn = (home: string, run = 'colours') => {
  const store = openStoreToRead(path.join(home, `db/${run}.sqlite`));
  const status = store?.stages.read('prepare')?.status;
  store?.close();
  return status;
};

describe('inputs that changed since a run was made', () => {
  it('by one byte, with size and time put back, are refused by name (exit 3), and nothing is touched', async () => {
    const {again, home} = await aRun();
    const changed = file('pool/7.png');
    const {atime, mtime, size} = statSync(changed);
    const bytes = readFileSync(changed);
    bytes[bytes.length - 20]! ^= 1;
    writeFileSync(changed, bytes);
    utimesSync(changed, atime, mtime);
    expect(statSync(changed)).toMatchObject({size, mtime});

    const {code, stderr} = await again();
    expect(code).toBe(3);
    expect(stderr).toBe(
      `Run colours was made from other data:\n  ${changed} has other contents\n` +
        'Nothing was touched. Put the data back, use another name (--run NAME), or start a new version with --accept-change (the old one is kept under colours@1 or the next free number).\n',
    );
    expect(statusIn(home)).toBe('done');
  });

  it('by files that came, went or moved are refused by their names', async () => {
    const {again} = await aRun();
    cpSync(file('pool/0.png'), file('pool/copy.png'));
    unlinkSync(file('test/red/1.png'));
    renameSync(file('train/red/2.png'), file('train/blue/from-red.png'));
    const {code, stderr} = await again();
    expect(code).toBe(3);
    expect(stderr.split('\n').slice(1, 5).sort()).toEqual([
      `  ${file('pool/copy.png')} is new`,
      `  ${file('test/red/1.png')} is gone`,
      `  ${file('train/blue/from-red.png')} is new`,
      `  ${file('train/red/2.png')} is gone`,
    ].sort());
  });

  it('by a label alone, in a list, are refused with the new label', async () => {
    const home = await newHome();
    const rows = colours.flatMap(colour => Array.from({length: 12}, (_, number) => `train/${colour}/${number}.png,${colour}`));
    const write = (lines: string[]) => writeFileSync(file('train.csv'), `path,label\n${lines.join('\n')}\n`);
    write(rows);
    await orchestrate(data, home, '--until', 'prepare', '--labelled', file('train.csv'));
    write(rows.map(row => (row === 'train/red/3.png,red' ? 'train/red/3.png,blue' : row)));
    const {code, stderr} = await pupil(['orchestrate', data.config, '--home', home, '--labelled', file('train.csv')]);
    expect([code, stderr.split('\n')[1]]).toEqual([3, `  ${file('train/red/3.png')} has another label (blue)`]);
  });

  it('by another source are refused with both', async () => {
    const {again} = await aRun();
    const {code, stderr} = await again('--test', file('train'));
    expect([code, stderr.split('\n')[1]]).toEqual([3, `  test: was folder:${file('test')}, is folder:${file('train')}`]);
  });

  it('and were put back are the same again', async () => {
    const {again} = await aRun();
    renameSync(file('pool/7.png'), file('elsewhere.png'));
    expect(await again()).toMatchObject({code: 3});
    renameSync(file('elsewhere.png'), file('pool/7.png'));
    expect(await again()).toMatchObject({code: 0, stderr: expect.stringContaining('= prepare   fresh: nothing changed') as string});
  });

  it('only in their times are looked into once, found the same, and trusted', async () => {
    const {again} = await aRun();
    for (const name of ['pool/1.png', 'train/red/0.png', 'test/blue/0.png']) utimesSync(file(name), new Date(), new Date(0));
    for (let time = 0; time < 2; time++) expect(await again()).toMatchObject({code: 0, stderr: expect.stringContaining('= prepare   fresh: nothing changed') as string});
  });

  it('are accepted with --accept-change, which keeps the old run under another name', async () => {
    const {again, home} = await aRun();
    const oldPack = readFileSync(path.join(home, 'data/colours/packs/train/ids.txt'), 'utf8');
    writeFileSync(file('train/red/0.png'), await picture('red', 1000));
    const {code, stderr} = await again('--accept-change');
    expect(code).toBe(0);
    expect(stderr).toContain('the data changed; the earlier run is kept as colours@1');
    expect(readFileSync(path.join(home, 'data/colours@1/packs/train/ids.txt'), 'utf8')).toBe(oldPack);
    expect([statusIn(home), statusIn(home, 'colours@1')]).toEqual(['done', 'done']);

    writeFileSync(file('train/red/0.png'), await picture('red', 1001));
    expect((await again('--accept-change')).stderr).toContain('kept as colours@2');
    expect((JSON.parse(await outputOf(['runs', '--home', home, '--json'])) as {runs: {run: string}[]}).runs.map(({run}) => run).sort()).toEqual(['colours', 'colours@1', 'colours@2']);
  });

  it('are accepted again after a kill in the middle of moving the old run aside', async () => {
    const {again, home} = await aRun();
    unlinkSync(file('pool/7.png'));
    renameSync(path.join(home, 'data/colours'), path.join(home, 'data/colours@1'));
    expect(await again('--accept-change')).toMatchObject({code: 0, stderr: expect.stringContaining('kept as colours@1') as string});
    expect(existsSync(path.join(home, 'data/colours@1/packs/train/pack.json'))).toBe(true);
    expect(statusIn(home, 'colours@1')).toBe('done');
  });
});

describe('data that do not fit together are refused (exit 3)', () => {
  type Change = () => void;
  it.each<[string, Change, string[], string | RegExp]>([
    ['an empty pool', () => mkdirSync(file('empty')), ['--unlabelled', 'empty'], /^POOL_EMPTY: no unlabelled pictures to score in .*\/empty\. Give --unlabelled a folder with pictures/],
    ['a pool of images that are all in the test set', () => {}, ['--unlabelled', 'test'], /^POOL_EMPTY: /],
    ['one class only', () => colours.slice(1).forEach(colour => rmSync(file(`train/${colour}`), {recursive: true})), [], /\/train has one class only \(blue\)\. Expected at least two\.$/],
    ['an empty class folder', () => mkdirSync(file('train/yellow')), [], /^No usable pictures in 1 class of .*\/train: yellow\. Add pictures or remove the class\.$/],
    ['no class folders', () => {}, ['--labelled', 'pool', '--max-failures', '1'], /^No labelled pictures in .*\/pool\. Expected one folder a class/],
    [
      'class names that differ',
      () => renameSync(file('test/red'), file('test/crimson')),
      [],
      /^The classes of the test set \S+\/test are not those of the labelled set \S+\/train\.\n {2}only in test: crimson\n {2}missing from test: red\nClasses are matched by name; rename the folders so that both sets have the same 3 names\.$/,
    ],
    ['classes that differ by case', () => cpSync(file('train/red'), file('train/Red'), {recursive: true}), [], /^The classes Red and red of .*\/train differ by case only\. Rename or merge them\.$/],
    ['a class with one picture', () => Array.from({length: 11}, (_, n) => unlinkSync(file(`train/red/${n}.png`))), [], /^1 class has no validation picture: red\. A class needs at least two labelled pictures/],
  ])('%s', async (_, change, args, message) => {
    const home = await newHome();
    change();
    const {code, stderr} = await pupil(['orchestrate', data.config, '--home', home, ...args], {cwd: data.folder});
    const told = stderr.split('\n').filter(line => line !== '' && !/^([>=!] | {2}(prepare|only in|missing)|pupil colours)/.test(line));
    expect(stderr.slice(stderr.indexOf(told[0] ?? '')).trimEnd()).toMatch(message);
    expect(stderr).not.toContain('    at ');
    expect(code).toBe(3);
  });
});

describe('pictures that cannot be used', () => {
  it('are set aside with a reason while they are few, and stop the run (exit 5) where they are many; a higher limit goes on', async () => {
    const home = await newHome();
    writeFileSync(file('pool/page.jpg'), '<!DOCTYPE html><title>404</title>');
    writeFileSync(file('pool/empty.png'), '');
    writeFileSync(file('train/red/cut.png'), readFileSync(file('train/red/0.png')).subarray(0, 300));
    symlinkSync('/etc/hostname', file('pool/link.png'));
    const command = ['orchestrate', data.config, '--home', home, '--until', 'score'];
    const refused = await pupil(command);
    expect(refused.code).toBe(5);
    expect(refused.stderr).toMatch(/\d of \d+ images could not be used \(\d+\.\d %\), more than --max-failures 0\.01 allows\.\nThe last one: \S+: .*\nSee them all with pupil status; mend them, or raise --max-failures and run the same command to go on from here\.\n$/);

    const allowed = await pupil([...command, '--max-failures', '0.2']);
    expect(allowed).toMatchObject({code: 0, stderr: expect.stringContaining('20 images scored') as string});
    const status = await outputOf(['status', '--home', home]);
    for (const line of [/EMPTY_FILE +\S+pool\/empty\.png: /, /NOT_AN_IMAGE +\S+pool\/page\.jpg: /, /OUTSIDE_ROOT +\S+pool\/link\.png: a link to \/etc\/hostname/, /(TRUNCATED|CORRUPT) +\S+train\/red\/cut\.png: /]) expect(status).toMatch(line);
  });
});
