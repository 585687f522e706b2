import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import {gzipSync} from 'node:zlib';
import {afterAll, beforeAll, beforeEach, describe, expect, it} from 'vitest';
import {openStoreToRead} from '../../src/store/open.js';
import {cifarRecord} from '../images/pictures.js';
import {tarOf} from '../images/tar-file.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {
  colours,
  copyOf,
  doneOf,
  LABELLED,
  lastingFolder,
  look,
  orchestrate,
  picture,
  pupil,
  writeData,
  type Colour,
  type Data,
  statusOf,
  outputOf,
} from './pupil.js';

const {folder, remove} = lastingFolder();
const pristine = path.join(folder, 'pristine');
/** What the runs are made from; each test gets it whole, and may change it. */
const data: Data = {folder: path.join(folder, 'data'), config: path.join(folder, 'data', 'colours.yaml')};
const prepared = path.join(folder, 'prepared');
const trained = path.join(folder, 'trained');
const file = (relative: string): string => path.join(data.folder, relative);

beforeAll(async () => {
  await writeData(pristine, 20);
  copyOf(pristine, data.folder);
  await orchestrate(data, prepared, '--until', 'prepare');
  copyOf(prepared, trained);
  await orchestrate(data, trained, '--until', 'teacher');
});
beforeEach(() => {
  rmSync(data.folder, {recursive: true});
  copyOf(pristine, data.folder);
});
afterAll(remove);

const newHome = async () => path.join(await temporaryFolder(), 'home');

/** A run of the data as they were, with figures, and the command that made it. */
function runOf(home: string, args: readonly string[] = ['--until', 'teacher']) {
  const command = ['orchestrate', data.config, '--home', home, ...args];
  return {home, command, again: async (...args: string[]) => await look([...command, '--json', ...args])};
}
const aRun = async () => runOf(copyOf(trained, await newHome()));
/** What became of the prepare stage. */
const outcomeOf = (stdout: string): string | undefined => doneOf(stdout).stages['prepare']?.status;

function statusIn(home: string, run = 'colours'): string | undefined {
  const store = openStoreToRead(path.join(home, `db/${run}.sqlite`));
  const status = store?.stages.read('prepare')?.status;
  store?.close();
  return status;
}

const otherData = (differences: string[]): string =>
  `Run colours was made from other data:\n${differences.map(line => `  ${line}\n`).join('')}` +
  'Nothing was touched. Put the data back, use another name (--run NAME), or go on with --accept-change (the run as it is stays under colours@1 or the next free number).';

// What else may change, and what follows from it: growing.test.ts.
describe('held-out pictures that changed since figures were made', () => {
  it('by one byte, with size and time put back, are refused by name (exit 3), and nothing is touched', async () => {
    const {command, home} = await aRun();
    const changed = file('test/red/1.png');
    const {atime, mtime, size} = statSync(changed);
    const bytes = readFileSync(changed);
    bytes[bytes.length - 20]! ^= 1;
    writeFileSync(changed, bytes);
    utimesSync(changed, atime, mtime);
    expect(statSync(changed)).toMatchObject({size, mtime});
    expect(await pupil(command)).toEqual({
      code: 3,
      signal: null,
      stdout: '',
      stderr: `${otherData([`${changed} has other contents`])}\n`,
    });
    expect(statusIn(home)).toBe('done');
  });

  it('by a label alone, in a list, are refused with the new label', async () => {
    const {again} = runOf(await newHome());
    const rows = colours.flatMap(colour =>
      Array.from({length: 4}, (_, number) => `test/${colour}/${number}.png,${colour}`),
    );
    const write = (lines: string[]) => writeFileSync(file('test.csv'), `path,label\n${lines.join('\n')}\n`);
    write(rows);
    await again('--test', file('test.csv'));
    write(rows.map(row => (row === 'test/red/3.png,red' ? 'test/red/3.png,blue' : row)));
    await expect(again('--test', file('test.csv'))).rejects.toMatchObject({
      exitCode: 3,
      message: otherData([`${file('test/red/3.png')} has another label (blue)`]),
    });
  });

  it('by a set that was left out of the command are refused with what to add, and no word of the pool', async () => {
    const {home} = await aRun();
    const command = [
      'orchestrate',
      '--run',
      'colours',
      '--home',
      home,
      '--labelled',
      file('train'),
      '--unlabelled',
      file('pool'),
      '--set',
      'image.size=16',
      '--until',
      'teacher',
    ];
    const refused = {
      exitCode: 3,
      message: otherData([`test: was folder:${file('test')}, and is not given now: add --test folder:${file('test')}`]),
    };
    await expect(look(command)).rejects.toMatchObject(refused);
    await expect(look([...command, '--dry-run'])).rejects.toMatchObject(refused);
    expect(await look([...command, '--dry-run', '--accept-change'])).toMatch(
      /^The data changed, so the run as it is would be kept under another name first/m,
    );
    expect(statusIn(home)).toBe('done');
  });

  it('and were put back are the same again', async () => {
    const {again} = await aRun();
    renameSync(file('test/red/1.png'), file('elsewhere.png'));
    await expect(again()).rejects.toMatchObject({exitCode: 3});
    renameSync(file('elsewhere.png'), file('test/red/1.png'));
    expect(doneOf(await again()).stages['teacher']?.status).toBe('fresh');
  });

  it('are refused to nobody who has no figures yet', async () => {
    const {again} = runOf(copyOf(prepared, await newHome()), ['--until', 'prepare']);
    unlinkSync(file('test/red/1.png'));
    expect(outcomeOf(await again())).toBe('ran');
  });

  it('are accepted with --accept-change, which keeps the run as it was under the next free name', async () => {
    const {again, home} = await aRun();
    const oldPack = readFileSync(path.join(home, 'data/colours/packs/test/ids.txt'), 'utf8');
    cpSync(path.join(home, 'db/colours.sqlite'), path.join(home, 'db/colours@1.sqlite'));
    writeFileSync(file('test/red/0.png'), await picture('red', 1000));
    const told = await again('--accept-change');
    expect(told).toContain('"the data changed; the run as it was is kept as colours@2"');
    expect(outcomeOf(told)).toBe('ran');
    expect(readFileSync(path.join(home, 'data/colours@2/packs/test/ids.txt'), 'utf8')).toBe(oldPack);
    expect([statusIn(home), statusIn(home, 'colours@1'), statusIn(home, 'colours@2')]).toEqual([
      'done',
      'done',
      'done',
    ]);
  });
});

describe('data that do not fit together are refused (exit 3)', () => {
  it.each<[string, () => void, string[], RegExp]>([
    [
      'an empty pool',
      () => mkdirSync(file('empty')),
      ['--unlabelled', file('empty')],
      /^POOL_EMPTY: no unlabelled pictures to score in .*\/empty\. Give --unlabelled a folder with pictures/,
    ],
    [
      'a pool of images that are all in the test set',
      () => cpSync(file('test'), file('copies'), {recursive: true}),
      ['--unlabelled', file('copies')],
      /^POOL_EMPTY: /,
    ],
    [
      'one class only',
      () => colours.slice(1).forEach(colour => rmSync(file(`train/${colour}`), {recursive: true})),
      [],
      /\/train has one class only \(blue\)\. Expected at least two\.$/,
    ],
    [
      'an empty class folder',
      () => mkdirSync(file('train/yellow')),
      [],
      /^No usable pictures in 1 class of .*\/train: yellow\. Add pictures or remove the class\.$/,
    ],
    [
      'no class folders',
      () => {},
      ['--labelled', file('pool')],
      /^No labelled pictures in \S+\/pool: 20 files \(such as \d+\.png\) lie in it, and no folder\. Expected one folder a class, named for it, with the pictures inside: \S+\/pool\/cat\/1\.jpg, /,
    ],
    [
      'a flat folder as the test set',
      () => {},
      ['--test', file('pool')],
      /^No test pictures in \S+\/pool: 20 files \(such as \d+\.png\) lie in it, and no folder\./,
    ],
    [
      'class folders that are links',
      () => (mkdirSync(file('linked')), symlinkSync(file('train/red'), file('linked/red'))),
      ['--labelled', file('linked')],
      /^No labelled pictures in \S+\/linked: red is a link in the place of a class folder and was not followed\. Expected/,
    ],
    [
      'a folder of nothing but side files',
      () => (mkdirSync(file('notes')), writeFileSync(file('notes/a.txt'), '')),
      ['--labelled', file('notes')],
      /^No labelled pictures in \S+\/notes: 1 side file \(such as \.txt, \.csv, \.json\) left out\. Expected/,
    ],
    [
      'a class of which no labelled picture can be read',
      () => breakPictures('train/red'),
      ['--max-failures', '0.5'],
      /^Not one labelled picture of 1 class \(red\) can be used; pupil status --run colours --home \S+ tells why\. Mend or add pictures, or remove the class\.$/,
    ],
    [
      'a class of which no test picture can be read',
      () => breakPictures('test/blue'),
      ['--max-failures', '0.5'],
      /^Not one test picture of 1 class \(blue\) can be used;/,
    ],
    [
      'an empty one',
      () => mkdirSync(file('empty')),
      ['--validation', file('empty')],
      /^No validation pictures in \S+\/empty: it is empty\./,
    ],
    [
      'class names that differ',
      () => renameSync(file('test/red'), file('test/crimson')),
      [],
      /^The classes of the test set \S+\/test are not those of the labelled set \S+\/train\.\n {2}only in test: crimson\n {2}missing from test: red\nClasses are matched by name; rename the folders so that both sets have the same 3 names\.$/,
    ],
    [
      'classes that differ by case',
      () => cpSync(file('train/red'), file('train/Red'), {recursive: true}),
      [],
      /^The classes Red and red of .*\/train differ by case only\. Rename or merge them\.$/,
    ],
    [
      'one picture a class',
      () => colours.forEach(keepOnePicture),
      [],
      /^No pictures are left for validation, on which every choice is made: no class has a second labelled picture\. A class needs at least two labelled pictures, or a validation set of your own \(--validation DIR\)\.$/,
    ],
  ])('%s', async (_, change, args, message) => {
    change();
    const {again} = runOf(await newHome());
    await expect(again(...args)).rejects.toMatchObject({
      name: 'UserError',
      exitCode: 3,
      message: expect.stringMatching(message) as string,
    });
  });
});

describe('a dry run is refused for what the run is refused for', () => {
  it.each<[string, () => void, string[], RegExp]>([
    [
      'a single class',
      () => colours.slice(1).forEach(colour => rmSync(file(`train/${colour}`), {recursive: true})),
      [],
      /\/train has one class only \(blue\)\. Expected at least two\.$/,
    ],
    [
      'class folders one level too deep',
      () => (mkdirSync(file('nested')), renameSync(file('train'), file('nested/all'))),
      ['--labelled', file('nested')],
      /\/nested has one class only \(all\)\. Expected at least two: each folder is a class\. \S+\/nested\/all has 3 folders \((blue|green|red), .*\): is that what you mean\.$/,
    ],
    [
      'other classes in the test set',
      () => renameSync(file('test/red'), file('test/crimson')),
      [],
      /^The classes of the test set \S+ are not those of the labelled set/,
    ],
    [
      'a pool without a picture',
      () => mkdirSync(file('empty')),
      ['--unlabelled', file('empty')],
      /^POOL_EMPTY: no unlabelled pictures to score/,
    ],
  ])('%s', async (_, change, args, message) => {
    change();
    const {again} = runOf(await newHome());
    for (const dry of [['--dry-run'], []])
      await expect(again(...args, ...dry)).rejects.toMatchObject({
        exitCode: 3,
        message: expect.stringMatching(message) as string,
      });
  });

  it.each([
    ['test', 'labelled', 'train'],
    ['validation', 'labelled', 'train'],
    ['unlabelled', 'test', 'test'],
  ])('%s pictures that are those of the %s set (exit 2)', async (role, other, folder) => {
    const {again} = runOf(await newHome());
    for (const dry of [['--dry-run'], []]) {
      await expect(again(`--${role}`, file(folder), ...dry)).rejects.toMatchObject({
        exitCode: 2,
        message: `The ${other} and the ${role} pictures are the same: ${file(folder)}. What is learned from must not be measured on: give other pictures for one of the two.`,
      });
    }
  });
});

const breakPictures = (folder: string) =>
  readdirSync(file(folder)).forEach(name =>
    writeFileSync(file(`${folder}/${name}`), readFileSync(file(`${folder}/${name}`)).subarray(0, 300)),
  );

describe('a folder that is not the run’s own', () => {
  const own = (home: string, ...names: string[]) => path.join(home, 'data', 'birds', ...names);

  it('is not taken for its: a run called as the folder of its pictures is refused (exit 2), and nothing is touched', async () => {
    const home = await newHome();
    copyOf(data.folder, own(home));
    const before = readdirSync(own(home), {recursive: true}).sort();
    for (const unlabelled of [own(home, 'pool'), file('pool')]) {
      const {code, stderr} = await pupil([
        'orchestrate',
        data.config,
        '--run',
        'birds',
        '--home',
        home,
        '--labelled',
        own(home, 'train'),
        '--unlabelled',
        unlabelled,
      ]);
      expect([code, stderr]).toEqual([
        2,
        `${own(home, 'train')} lies in ${own(home)}, where run birds keeps its own files: it replaces them, and moves them aside when the data changed. Choose another name (--run NAME), or move what lies there.\n`,
      ]);
    }
    const others = await pupil(['orchestrate', data.config, '--run', 'birds', '--home', home]);
    expect([others.code, others.stderr]).toEqual([
      2,
      `${own(home)} holds what is no run's (colours.yaml, pool, test and 1 more), and run birds would keep its own files there. Choose another name (--run NAME), or move what lies there.\n`,
    ]);
    expect(readdirSync(own(home), {recursive: true}).sort()).toEqual(before);
  });

  it('keeps its files beside the scores of a run', async () => {
    const home = await newHome();
    const kept = path.join(home, 'data/colours/scores/mine.png');
    mkdirSync(path.dirname(kept), {recursive: true});
    writeFileSync(kept, 'x');
    expect(await orchestrate(data, home, '--until', 'score')).toMatchObject({score: 'ran'});
    expect(existsSync(kept)).toBe(true);
  });
});

const keepOnePicture = (colour: Colour) =>
  Array.from({length: LABELLED - 1}, (_, n) => unlinkSync(file(`train/${colour}/${n}.png`)));

it('a first command that is refused leaves no run behind', async () => {
  const home = await newHome();
  const command = ['orchestrate', data.config, '--home', home];
  await expect(look([...command, '--test', file('nowhere')])).rejects.toMatchObject({exitCode: 2});
  await expect(look([...command, '--python', '/nowhere/python'])).rejects.toMatchObject({exitCode: 4});
  expect(existsSync(home)).toBe(false);
  // The device is proved with a run at hand; where that fails, there is none either.
  await expect(look([...command, '--device', 'cuda'])).rejects.toMatchObject({exitCode: 4});
  expect(await look(['runs', '--home', home])).toMatch(/^No runs in /);
});

describe('labelled pictures that are few are enough', () => {
  it('where a class has one: it has none for validation, and that is said', async () => {
    keepOnePicture('red');
    const text = await look(['orchestrate', data.config, '--home', await newHome(), '--json']);
    const warnings = text
      .split('\n')
      .filter(line => line.includes('"warning"'))
      .map(line => (JSON.parse(line) as {message: string}).message);
    expect(warnings).toContainEqual(
      '1 class has no validation picture, and so no say in what is chosen: red. A class needs at least two labelled pictures, or a validation set of your own (--validation DIR).',
    );
    expect(doneOf(text).results?.['student']).toEqual({top1: 1, top5: 1});
  });

  it('where every class has one, and validation pictures are given', async () => {
    cpSync(file('train'), file('validation'), {recursive: true});
    colours.forEach(colour => unlinkSync(file(`validation/${colour}/${LABELLED - 1}.png`)));
    colours.forEach(keepOnePicture);
    const text = await look([
      'orchestrate',
      data.config,
      '--home',
      await newHome(),
      '--json',
      '--validation',
      file('validation'),
    ]);
    expect(doneOf(text).results?.['student']).toEqual({top1: 1, top5: 1});
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
    expect(refused.stderr).toMatch(
      /\d of \d+ images could not be used \(\d+\.\d %\), more than --max-failures 0\.01 allows\.\nThe last one: \S+: .*\nSee them all with pupil status --run colours --home \S+\. Raise --max-failures to go on from here without them; or mend or remove them, and run the same command\.\n$/,
    );

    expect(await look([...command, '--json', '--max-failures', '0.2'])).toContain('20 images scored');
    const status = await look(['status', '--home', home]);
    for (const line of [
      /EMPTY_FILE +\S+pool\/empty\.png: /,
      /NOT_AN_IMAGE +\S+pool\/page\.jpg: /,
      /OUTSIDE_ROOT +\S+pool\/link\.png: a link to \/etc\/hostname/,
      /(TRUNCATED|CORRUPT) +\S+train\/red\/cut\.png: /,
    ])
      expect(status).toMatch(line);
  });

  it('are used once they are mended, though a run stopped for them', async () => {
    const home = await newHome();
    const names = [1, 2, 3, 4].map(number => file(`train/red/${number}.png`));
    for (const name of names) writeFileSync(name, readFileSync(name).subarray(0, 60));
    await expect(look(['orchestrate', data.config, '--home', home, '--until', 'prepare'])).rejects.toMatchObject({
      exitCode: 5,
    });
    for (const name of names) cpSync(path.join(pristine, path.relative(data.folder, name)), name);
    expect(outcomeOf(await look(['orchestrate', data.config, '--home', home, '--until', 'prepare', '--json']))).toBe(
      'ran',
    );
    expect(await look(['status', '--home', home])).not.toContain('set aside');
  });
});

describe('what an archive was unpacked to', () => {
  const archive = async () => {
    const records = Buffer.concat(Array.from({length: 30}, (_, number) => cifarRecord([number % 10], number)));
    const files = [1, 2, 3, 4, 5].map(batch => ({
      name: `cifar-10-batches-bin/data_batch_${batch}.bin`,
      content: batch === 1 ? records : '',
    }));
    const names = {
      name: 'cifar-10-batches-bin/batches.meta.txt',
      content: Array.from({length: 10}, (_, label) => `class ${label}`).join('\n'),
    };
    writeFileSync(file('cifar-10-binary.tar.gz'), gzipSync(tarOf(...files, names)));
    return runOf(await newHome(), ['--unlabelled', `cifar10:${file('cifar-10-binary.tar.gz')}?split=train`, '--until']);
  };

  it('is unpacked again where it was cleared away', async () => {
    const {home, command} = await archive();
    await look([...command, 'export']);
    rmSync(path.join(home, 'data/colours/cache'), {recursive: true});
    expect(doneOf(await look([...command, 'score', '--json'])).stages).toMatchObject({
      prepare: {status: 'fresh'},
      score: {status: 'ran'},
    });
  });

  it('is unpacked for itself by a run that takes what another has listed', async () => {
    const {home, command} = await archive();
    await look([...command, 'export']);
    const other = [...command, 'score', '--run', 'other', '--json'];
    expect(doneOf(await look(other)).stages).toMatchObject({prepare: {status: 'fresh'}, score: {status: 'ran'}});
    await pupil(['rm', 'colours', '--home', home]);
    expect((await statusOf(home, '--run', 'other')).stages.slice(0, 4).map(({status}) => status)).toEqual(
      new Array(4).fill('fresh'),
    );
    const [place] = (await outputOf(['pool', '--csv', '--home', home, '--run', 'other'])).split('\n').slice(1);
    expect(place).toContain(`${home}/data/other/cache/`);
  });

  it('is found where its home has another place', async () => {
    const {home, command} = await archive();
    await look([...command, 'export']);
    renameSync(home, `${home}-moved`);
    const moved = command.map(argument => (argument === home ? `${home}-moved` : argument));
    expect(doneOf(await look([...moved, 'score', '--json'])).stages).toMatchObject({
      prepare: {status: 'fresh'},
      score: {status: 'ran'},
    });
  });
});
