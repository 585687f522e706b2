/** Pools that grow, shrink and move, and sets that are mended: what is done again, what stands, and what is asked first. */
import {
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import {afterAll, beforeAll, beforeEach, describe, expect, it} from 'vitest';
import {tarOf} from '../images/tar-file.js';
import {
  colours,
  copyOf,
  doneOf,
  lastingFolder,
  look,
  picture,
  pupil,
  rankingRows,
  statusOf,
  writeData,
  type Data,
  forgetKept,
} from './pupil.js';

const {folder, remove} = lastingFolder();
const pristine = path.join(folder, 'pristine');
/** What the runs are made from; each test gets it whole, and may change it. */
const data: Data = {folder: path.join(folder, 'data'), config: path.join(folder, 'data', 'colours.yaml')};
const finished = path.join(folder, 'finished');
const file = (relative: string): string => path.join(data.folder, relative);
const POOL = 20;
let homes = 0;
const newHome = () => path.join(folder, `home ${homes++}`);

beforeAll(async () => {
  await writeData(pristine, POOL);
  copyOf(pristine, data.folder);
  await look(['orchestrate', data.config, '--home', finished]);
});
beforeEach(() => {
  rmSync(data.folder, {recursive: true});
  copyOf(pristine, data.folder);
});
afterAll(remove);

/** A finished run of the data as they lie now: copies have other times, so that they are looked into once. */
async function aRun(): Promise<string> {
  const home = copyOf(finished, newHome());
  expect((await orchestrated(home)).ran).toEqual(['prepare']);
  return home;
}

/** Runs what is stale, and tells what became of each stage and what was said. */
async function orchestrated(home: string, ...args: string[]) {
  const stdout = await look(['orchestrate', data.config, '--home', home, '--json', ...args]);
  const stages = Object.entries(doneOf(stdout).stages);
  return {
    stdout,
    ran: stages.flatMap(([name, {status}]) => (status === 'ran' ? [name] : [])),
    fresh: stages.flatMap(([name, {status}]) => (status === 'fresh' ? [name] : [])),
  };
}

async function addToPool(...numbers: number[]): Promise<void> {
  for (const number of numbers)
    writeFileSync(file(`pool/new-${number}.png`), await picture(colours[number % 3]!, 1000 + number));
}

const scoresIn = (home: string) => path.join(home, 'data/colours/scores');
/** The bytes that must not depend on how a run came to its pool. */
const madeIn = (home: string) => {
  const files = ['data/colours/packs/selected', 'models/colours/student'].flatMap(at =>
    readdirSync(path.join(home, at))
      .sort()
      .map(name => path.join(at, name)),
  );
  return Object.fromEntries(files.map(name => [name, readFileSync(path.join(home, name)).toString('hex')]));
};
/** What the last listing of a run had to list. */
const listedBy = (home: string): string[] => {
  const {sources} = JSON.parse(
    readFileSync(path.join(home, 'data/colours/attempts/prepare-listing-images/index.json'), 'utf8'),
  ) as {sources: {path: string}[]};
  return sources.map(source => path.basename(source.path));
};

/** A fresh run of the data as they are now has the same rankings, the same packed pictures, and the same student. */
async function expectAsFromTheStart(home: string, ...args: string[]): Promise<void> {
  const fresh = newHome();
  await orchestrated(fresh, ...args);
  expect(rankingRows(home)).toEqual(rankingRows(fresh));
  expect(madeIn(home)).toEqual(madeIn(fresh));
}

describe('a pool', () => {
  it('that grew has its new pictures scored alone, and comes to what a new run of all comes to', async () => {
    const home = await aRun();
    const before = readdirSync(scoresIn(home)).map(name => [name, statSync(path.join(scoresIn(home), name)).mtimeMs]);
    await addToPool(1, 2, 3, 4, 5);
    const {ran, fresh, stdout} = await orchestrated(home);
    expect(fresh).toEqual(['teacher', 'export', 'baseline']);
    expect(ran).toEqual(['prepare', 'score', 'select', 'pretrain', 'finetune', 'evaluate', 'report']);
    expect(stdout).toContain('"5 pictures joined the pool; 20 stay"');
    expect(stdout).toContain('"20 of 25 images are scored already"');
    expect(listedBy(home)).toEqual(['pool']);
    const after = new Map(
      readdirSync(scoresIn(home)).map(name => [name, statSync(path.join(scoresIn(home), name)).mtimeMs]),
    );
    for (const [name, at] of before) expect(after.get(String(name))).toBe(at);
    expect(after.size).toBe(before.length + 1);
    await expectAsFromTheStart(home);
    expect((await orchestrated(home)).ran).toEqual([]);
  });

  it('that shrank has nothing scored, and what left it is chosen no more', async () => {
    const home = await aRun();
    for (const number of [0, 1, 2, 9]) unlinkSync(file(`pool/${number}.png`));
    const {fresh, stdout} = await orchestrated(home);
    expect(fresh).toEqual(['teacher', 'export', 'baseline']);
    expect(stdout).toContain('"4 pictures left the pool; 16 stay"');
    expect(stdout).toContain('16 images scored"');
    await expectAsFromTheStart(home);
    await expect(look(['why', file('pool/9.png'), '--home', home])).rejects.toMatchObject({exitCode: 2});

    // What comes back has its scores, also where nothing is kept of what was before.
    forgetKept(home);
    for (const number of [0, 1, 2, 9]) cpSync(path.join(pristine, `pool/${number}.png`), file(`pool/${number}.png`));
    const again = await orchestrated(home);
    expect(again.stdout).toContain('20 images scored"');
    expect(rankingRows(home)).toEqual(rankingRows(finished));
    expect(madeIn(home)).toEqual(madeIn(finished));
  });

  it('that is again what it was before has nothing to do, whatever it was meanwhile', async () => {
    const home = await aRun();
    for (const number of [0, 1]) unlinkSync(file(`pool/${number}.png`));
    await orchestrated(home);
    for (const number of [0, 1]) cpSync(path.join(pristine, `pool/${number}.png`), file(`pool/${number}.png`));
    const {ran} = await orchestrated(home);
    // Their times are others, so that they are looked at again.
    expect(ran).toEqual(['prepare']);
    expect(rankingRows(home)).toEqual(rankingRows(finished));
  });

  it('that was larger before has the scores of then, whatever it was meanwhile', async () => {
    const home = await aRun();
    await addToPool(1, 2, 3);
    await orchestrated(home, '--until', 'score');
    for (const number of [1, 2, 3]) unlinkSync(file(`pool/new-${number}.png`));
    await orchestrated(home, '--until', 'score');
    await addToPool(1, 2, 3, 4);
    expect((await orchestrated(home, '--until', 'score')).stdout).toContain('"23 of 24 images are scored already"');
  });

  it('that another run has but for a few pictures has those alone scored in a new one', async () => {
    const home = await aRun();
    await addToPool(1, 2);
    const {ran, stdout} = await orchestrated(home, '--run', 'other');
    expect(ran).toEqual(['prepare', 'score', 'select', 'pretrain', 'finetune', 'evaluate', 'report']);
    expect(stdout).toContain('"score goes on from what colours has"');
    expect(stdout).toContain('"20 of 22 images are scored already"');
  });

  it('whose shards nobody remembers is asked of its scores which they are, also where it grew meanwhile', async () => {
    for (const more of [[], [1, 2]]) {
      const home = await aRun();
      forgetKept(home);
      const index = path.join(home, 'data/colours/index/pool');
      for (const name of readdirSync(index).filter(found => found.startsWith('shards-')))
        rmSync(path.join(index, name), {recursive: true});
      await addToPool(...more);
      const {ran, stdout} = await orchestrated(home);
      expect(ran).toContain('score');
      expect(stdout).toContain(`"20 of ${20 + more.length} images are scored already"`);
      await expectAsFromTheStart(home);
    }
  });

  it('is listed with the earlier listings at hand, also one that was cut short, and leaves none of them behind', async () => {
    const home = await aRun();
    const listings = path.join(home, 'data/colours/index/listings');
    const ofPool = () => readdirSync(listings).filter(name => name.startsWith('unlabelled-'));
    const [before] = ofPool() as [string];
    await addToPool(1, 2, 3);
    const killed = await pupil(['orchestrate', data.config, '--home', home], {
      env: {PUPIL_FAIL_POINT: 'publish.after-rename:1:SIGKILL:index'},
    });
    expect(killed.code).not.toBe(0);
    const [, cutShort] = ofPool().sort() as [string, string];
    expect((await orchestrated(home)).stdout).toContain('"3 pictures joined the pool; 20 stay"');
    const {sources} = JSON.parse(
      readFileSync(path.join(home, 'data/colours/attempts/prepare-listing-images/index.json'), 'utf8'),
    ) as {sources: {known: string[]}[]};
    expect(sources[0]!.known.map(known => path.basename(known)).sort()).toEqual([before, cutShort].sort());
    expect(ofPool()).toHaveLength(1);
    await expectAsFromTheStart(home);
  });

  it('that both grew and shrank says so, and survives being scored anew', async () => {
    const home = await aRun();
    await addToPool(7, 8);
    unlinkSync(file('pool/3.png'));
    expect((await orchestrated(home, '--until', 'score')).stdout).toContain(
      '"2 pictures joined the pool, 1 picture left it; 19 stay"',
    );
    forgetKept(home);
    for (const name of readdirSync(scoresIn(home))) unlinkSync(path.join(scoresIn(home), name));
    await orchestrated(home);
    await expectAsFromTheStart(home);
  });

  it('that moved, was renamed, or lies in archives now has nothing scored and nothing trained', async () => {
    const home = await aRun();
    renameSync(file('pool'), file('elsewhere'));
    renameSync(file('elsewhere/3.png'), file('elsewhere/another name.png'));
    const pools = (...names: string[]) => names.flatMap(name => ['--unlabelled', file(name)]);
    expect((await orchestrated(home, ...pools('elsewhere'))).ran).toEqual(['prepare']);
    const members = readdirSync(file('elsewhere')).map(name => ({
      name,
      content: readFileSync(file(`elsewhere/${name}`)),
    }));
    writeFileSync(file('a.tar'), tarOf(...members.slice(12)));
    writeFileSync(file('b.tar'), tarOf(...members.slice(0, 12)));
    expect((await orchestrated(home, ...pools('a.tar', 'b.tar'))).ran).toEqual(['prepare']);
    expect(await look(['rankings', '--home', home, '--class', 'red', '--csv'])).toContain('.tar#');
  });

  it('that another folder joins has only that folder listed and scored', async () => {
    const home = await aRun();
    mkdirSync(file('more'));
    writeFileSync(file('more/1.png'), await picture('blue', 2001));
    const {stdout, ran} = await orchestrated(home, '--unlabelled', file('pool'), '--unlabelled', file('more'));
    expect(ran).toEqual(['prepare', 'score', 'select', 'report']);
    expect(stdout).toContain('"1 picture joined the pool; 20 stay"');
    expect(listedBy(home)).toEqual(['more']);
  });

  it('is looked into where its files were touched, and nothing follows from it', async () => {
    const home = await aRun();
    for (const name of ['pool/1.png', 'train/red/0.png', 'test/blue/0.png'])
      writeFileSync(file(name), readFileSync(file(name)));
    expect((await orchestrated(home)).ran).toEqual(['prepare']);
    expect((await orchestrated(home)).ran).toEqual([]);
  });
});

describe('labels', () => {
  it('of more pictures train the teacher again, and the pool is not listed again', async () => {
    const home = await aRun();
    writeFileSync(file('train/red/more.png'), await picture('red', 3000));
    // The report tells the same figures.
    expect((await orchestrated(home)).fresh).toEqual(['report']);
    expect(listedBy(home)).toEqual(['train']);
  });

  it('that were mended do the same', async () => {
    const home = await aRun();
    renameSync(file('train/red/3.png'), file('train/blue/from-red.png'));
    expect((await orchestrated(home)).ran).toContain('teacher');
    expect(listedBy(home)).toEqual(['train']);
  });

  it('of another set under the name of this run are refused (exit 3), and nothing is touched', async () => {
    const home = await aRun();
    mkdirSync(file('other'));
    for (const colour of colours) {
      mkdirSync(file(`other/${colour}`));
      for (let number = 0; number < 6; number++)
        writeFileSync(file(`other/${colour}/${number}.png`), await picture(colour, 4000 + number));
    }
    const {code, stderr} = await pupil(['orchestrate', data.config, '--home', home, '--labelled', file('other')]);
    expect(code).toBe(3);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      `labelled: of the 36 pictures in folder:${file('train')} none is in folder:${file('other')}`.replaceAll(
        /\s+/g,
        ' ',
      ),
    );
    expect((await statusOf(home)).stages.every(({status}) => status === 'fresh')).toBe(true);
  });
});

describe('a test set', () => {
  it('that is another one now is measured on, and looked for among what is learned from', async () => {
    const home = await aRun();
    cpSync(file('test'), file('other'), {recursive: true});
    for (const colour of colours) writeFileSync(file(`other/${colour}/9.png`), await picture(colour, 5000));
    const {ran, fresh} = await orchestrated(home, '--test', file('other'));
    expect(ran).toEqual(['prepare', 'select', 'evaluate', 'report']);
    expect(fresh).toEqual(['teacher', 'export', 'score', 'pretrain', 'finetune', 'baseline']);
    expect(listedBy(home)).toEqual(['other']);
  });

  it('of which pictures changed is refused by their names; with --accept-change the run stays under another name, and what is not affected stands', async () => {
    const home = await aRun();
    unlinkSync(file('test/red/1.png'));
    writeFileSync(file('test/red/0.png'), await picture('red', 6000));
    writeFileSync(file('test/blue/7.png'), await picture('blue', 6001));
    await expect(orchestrated(home)).rejects.toMatchObject({
      exitCode: 3,
      message: `Run colours was made from other data:
  ${file('test/blue/7.png')} is new
  ${file('test/red/0.png')} has other contents
  ${file('test/red/1.png')} is gone
Nothing was touched. Put the data back, use another name (--run NAME), or go on with --accept-change (the run as it is stays under colours@1 or the next free number).`,
    });
    const results = readFileSync(path.join(home, 'models/colours/results.json'));
    const {ran, stdout} = await orchestrated(home, '--accept-change');
    expect(stdout).toContain('"the data changed; the run as it was is kept as colours@1"');
    expect(ran).toEqual(['prepare', 'select', 'evaluate']);
    expect(readFileSync(path.join(home, 'models/colours@1/results.json'))).toEqual(results);
    expect((await orchestrated(home)).ran).toEqual([]);
  });

  it('of which pictures changed leaves a whole run under the other name, whoever reads it meanwhile', async () => {
    const home = await aRun();
    // Somebody who keeps what they saw, so that later commits cannot be moved out of the log.
    const reader = new Database(path.join(home, 'db/colours.sqlite'), {readonly: true});
    reader.exec('BEGIN');
    reader.prepare('SELECT count(*) FROM stages').get();
    const before = rankingRows(home);
    writeFileSync(file('test/red/0.png'), await picture('red', 6000));
    await orchestrated(home, '--accept-change');
    reader.close();
    const archived = await statusOf(home, '--run', 'colours@1');
    expect(archived.stages.map(({outputs}) => outputs.length > 0)).toEqual(archived.stages.map(() => true));
    expect((await pupil(['verify', 'colours@1', '--home', home])).code).toBe(0);
    expect(JSON.parse(await look(['rankings', 'red', '--home', home, '--run', 'colours@1', '--json']))).toMatchObject({
      selected: 5,
    });
    const ranked = new Database(path.join(home, 'db/colours@1.sqlite'), {readonly: true});
    expect(
      ranked.prepare('SELECT class, rank, score, image, place, selected FROM ranking ORDER BY class, rank').all(),
    ).toEqual(before);
    ranked.close();
    expect(statSync(path.join(home, 'models/colours@1/teacher/model.safetensors')).nlink).toBeGreaterThan(1);
    // What was measured on other pictures stays there.
    expect(readFileSync(path.join(home, 'models/colours@1/report.html'), 'utf8')).toContain('colours');
  });

  it('of which pictures changed leaves a whole run also where it was cut short on its way to other data', async () => {
    const home = await aRun();
    await addToPool(1);
    const killed = await pupil(['orchestrate', data.config, '--home', home], {
      env: {PUPIL_FAIL_POINT: 'commit.before:12'},
    });
    expect(killed.signal).toBe('SIGKILL');
    unlinkSync(file('test/red/1.png'));
    const {stdout} = await orchestrated(home, '--accept-change');
    expect(stdout).not.toContain('lacks');
    const {stages} = await statusOf(home, '--run', 'colours@1');
    expect(
      stages.map(({name}) => name).filter(name => stages.find(one => one.name === name)?.status === 'never'),
    ).toEqual([]);
  });

  it('of which pictures changed leaves no remains where keeping the run was cut short', async () => {
    const home = await aRun();
    unlinkSync(file('test/red/1.png'));
    const killed = await pupil(['orchestrate', data.config, '--home', home, '--accept-change'], {
      env: {PUPIL_FAIL_POINT: 'commit.before:25'},
    });
    expect(killed.signal).toBe('SIGKILL');
    expect(readdirSync(path.join(home, 'db'))).toContain('colours@1.sqlite.new');
    await orchestrated(home, '--accept-change');
    expect(
      readdirSync(path.join(home, 'db'))
        .filter(name => name.includes('@'))
        .sort(),
    ).toEqual(['colours@1.sqlite']);
    expect((await pupil(['verify', 'colours@1', '--home', home])).code).toBe(0);
  });

  it('whose pictures only have other names is the same', async () => {
    const home = await aRun();
    renameSync(file('test/red/1.png'), file('test/red/another.png'));
    expect((await orchestrated(home)).ran).toEqual(['prepare']);
  });
});

describe('before it is done, status and a dry run tell', () => {
  const reasons = async (home: string) =>
    new Map((await statusOf(home)).stages.map(({name, status, reason}) => [name, [status, reason]]));
  const planned = async (home: string) => {
    const {stages} = JSON.parse(await look(['orchestrate', data.config, '--home', home, '--dry-run', '--json'])) as {
      stages: {name: string; status: string; reason: string; images: number | null}[];
    };
    return new Map(stages.map(stage => [stage.name, stage]));
  };

  it('how many pictures are new, and how many of them are to be scored', async () => {
    const home = await aRun();
    await addToPool(1, 2, 3);
    unlinkSync(file('pool/3.png'));
    const now = await reasons(home);
    expect(now.get('prepare')).toEqual(['stale', '3 pictures of the pool are new, 1 is gone']);
    expect([now.get('teacher')?.[0], now.get('export')?.[0]]).toEqual(['fresh', 'fresh']);
    expect(now.get('score')).toEqual(['stale', '3 of 22 pictures are new']);
    const plan = await planned(home);
    expect(plan.get('prepare')).toMatchObject({status: 'stale', images: 22});
    expect(plan.get('teacher')).toMatchObject({status: 'fresh'});
    expect(plan.get('score')).toMatchObject({status: 'stale', images: 3, reason: '3 of 22 pictures are new'});
    // The same once they are listed.
    await orchestrated(home, '--until', 'prepare');
    expect((await reasons(home)).get('score')).toEqual(['stale', '3 of 22 pictures are new']);
    expect((await planned(home)).get('score')).toMatchObject({images: 3});
  });

  it('that nothing is to be scored where pictures are only gone', async () => {
    const home = await aRun();
    unlinkSync(file('pool/3.png'));
    expect((await reasons(home)).get('score')).toEqual(['stale', 'no picture is new']);
    expect((await planned(home)).get('score')).toMatchObject({images: 0});
  });

  it('that all is scored anew where the teacher is another', async () => {
    const home = await aRun();
    await addToPool(1);
    writeFileSync(file('train/red/more.png'), await picture('red', 3000));
    const now = await reasons(home);
    expect(now.get('prepare')).toEqual(['stale', '1 picture of the pool is new']);
    expect(now.get('score')).toEqual(['stale', 'follows prepare and export']);
    expect((await planned(home)).get('score')).toMatchObject({images: 21});
  });
});
