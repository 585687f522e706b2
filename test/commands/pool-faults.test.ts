/** What may happen to a pool's files and sources: nothing of it makes a result silently wrong, and the next run mends it. */
import {createHash} from 'node:crypto';
import {execFileSync} from 'node:child_process';
import {cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {afterAll, beforeEach, describe, expect, it} from 'vitest';
import {lastingFolder, look, picture, pupil, rankingRows, statusOf, writeData, type Data, forgetKept} from './pupil.js';

const {folder, remove} = lastingFolder();
const data: Data = {folder: path.join(folder, 'data'), config: path.join(folder, 'data', 'colours.yaml')};
const file = (relative: string): string => path.join(data.folder, relative);
let homes = 0;
const newHome = () => path.join(folder, `home ${homes++}`);

beforeEach(async () => {
  rmSync(data.folder, {recursive: true, force: true});
  await writeData(data.folder, 20);
});
afterAll(remove);

const orchestrate = (home: string, ...args: string[]) =>
  look(['orchestrate', data.config, '--home', home, '--until', 'select', '--json', ...args]);
const poolOf = async (home: string): Promise<string[]> =>
  (await look(['pool', '--home', home, '--csv'])).trimEnd().split('\n').slice(1);
const listingsOf = (home: string): string[] => readdirSync(path.join(home, 'data/colours/index/listings'));

/** The first file of what a set lists, and where in it the id of a picture lies. */
function listed(home: string, set: string, relative: string): {chunk: string; at: number} {
  const name = listingsOf(home).find(found => found.startsWith(set))!;
  const chunk = path.join(home, 'data/colours/index/listings', name, '00000.columns');
  const digest = createHash('sha256')
    .update(readFileSync(file(relative)))
    .digest();
  const words = Buffer.alloc(12);
  for (let word = 0; word < 3; word++) words.writeUInt32LE(digest.readUInt32BE(word * 4), word * 4);
  return {chunk, at: readFileSync(chunk).indexOf(words)};
}

/** In a file of its own: copies of homes share theirs. */
function flip(name: string, at: number): void {
  const bytes = readFileSync(name);
  bytes[at]! ^= 1;
  rmSync(name);
  writeFileSync(name, bytes);
}

describe('a listing of which a bit was flipped', () => {
  it('of the test set lets no test picture into the pool', async () => {
    const home = newHome();
    cpSync(file('test/red/0.png'), file('pool/leak.png'));
    await orchestrate(home);
    const {chunk, at} = listed(home, 'test', 'test/red/0.png');
    flip(chunk, at + 8);
    forgetKept(home);
    writeFileSync(file('test/blue/0.png'), readFileSync(file('test/blue/0.png')));
    await orchestrate(home);
    expect((await poolOf(home)).filter(row => row.includes('leak.png'))).toEqual([]);
  });

  it.each(['in an id', 'in what else it holds'])(
    'of the pool, %s, is made anew, and all that follows stands',
    async where => {
      const home = newHome();
      await orchestrate(home);
      const {chunk, at} = listed(home, 'unlabelled', 'pool/9.png');
      flip(chunk, where === 'in an id' ? at + 8 : readFileSync(chunk).length - 3);
      forgetKept(home);
      expect((await statusOf(home)).stages[0]).toMatchObject({name: 'prepare', status: 'stale'});
      expect(await orchestrate(home)).toContain('{"type":"stage_fresh","stage":"score"');
      expect(await poolOf(home)).toHaveLength(20);
      expect((await look(['verify', '--home', home])).includes('damaged')).toBe(false);
    },
  );
});

describe('a run that ends between putting pictures into shards and scoring them', () => {
  it('leaves no picture for scored that is not', async () => {
    const home = newHome();
    writeFileSync(file('pool/broken.png'), 'no picture at all');
    const kept = readFileSync(file('pool/9.png'));
    // It is listed, and gone when it is to be scored.
    const running = pupil(['orchestrate', data.config, '--home', home, '--max-failures', '0.5', '--until', 'select']);
    await expect.poll(() => existsSync(path.join(home, 'data/colours/index/pool/ids-1')), {timeout: 60_000}).toBe(true);
    rmSync(file('pool/9.png'));
    await running;
    writeFileSync(file('pool/9.png'), kept);
    writeFileSync(file('pool/new.png'), await picture('red', 999));
    await expect(orchestrate(home, '--max-failures', '0')).rejects.toMatchObject({exitCode: 5});
    expect(await orchestrate(home, '--max-failures', '0.5')).toContain('"21 images scored');
    expect(await look(['why', file('pool/9.png'), '--home', home])).not.toContain('Not scored');
  });
});

describe('sources', () => {
  it('that cannot be listed lend their names to no picture of others', async () => {
    const home = newHome();
    await orchestrate(home);
    mkdirSync(file('other'));
    for (const number of [1, 2]) symlinkSync('/nowhere', file(`other/${number}.png`));
    await expect(orchestrate(home, '--unlabelled', file('other'))).rejects.toMatchObject({exitCode: 4});
    expect(JSON.stringify(rankingRows(home))).not.toContain(file('other'));
    await expect(look(['pool', '--home', home])).rejects.toMatchObject({exitCode: 3});
    expect((await pupil(['rankings', 'red', '--home', home])).code).toBe(0);
  });

  it('that are the same pool twice are listed twice, each time under names that tell how often', async () => {
    const home = newHome();
    const twice = ['--unlabelled', file('pool'), '--unlabelled', file('pool')];
    for (const number of [1, 2, 3]) {
      await orchestrate(home, ...twice);
      writeFileSync(file(`pool/more-${number}.png`), await picture('red', 7000 + number));
    }
    const numbers = listingsOf(home).flatMap(name => /^unlabelled-[0-9a-f]+-(.*)$/.exec(name)?.[1] ?? []);
    expect(numbers.sort()).toEqual(['5', '6']);
    expect(JSON.parse(await look(['pool', '--home', home, '--json']))).toMatchObject({images: 22, duplicates: 22});
  });

  it('are read in the order in which they are given, however the run came to them', async () => {
    mkdirSync(file('more'));
    for (const number of [1, 2, 3]) cpSync(file(`pool/${number}.png`), file(`more/twin-${number}.png`));
    const both = ['--unlabelled', file('more'), '--unlabelled', file('pool')];
    const [grown, fresh] = [newHome(), newHome()];
    await orchestrate(grown);
    await orchestrate(grown, ...both);
    await orchestrate(fresh, ...both);
    expect(rankingRows(grown)).toEqual(rankingRows(fresh));
    expect((await poolOf(grown)).filter(row => row.includes('twin-'))).toHaveLength(3);
  });

  it('of which a picture is larger than is allowed now lose it, though it was listed before', async () => {
    const home = newHome();
    writeFileSync(file('pool/large.png'), Buffer.concat([await picture('red', 555), Buffer.alloc(3e6)]));
    await orchestrate(home, '--set', 'limits.max_file_mb=50');
    writeFileSync(file('pool/more.png'), await picture('red', 556));
    await orchestrate(home, '--set', 'limits.max_file_mb=1', '--max-failures', '0.5');
    expect((await poolOf(home)).filter(row => row.includes('large.png'))).toEqual([]);
  });
});

it('why of a file that is no picture for its size says that it is not known, and reads none of it', async () => {
  const home = newHome();
  await orchestrate(home);
  execFileSync('truncate', ['-s', '3G', file('large.tar')]);
  await expect(look(['why', file('large.tar'), '--home', home])).rejects.toMatchObject({exitCode: 2});
});
