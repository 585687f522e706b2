/**
 * What becomes of a run where scoring meets pictures, disks and networks that fail: the limits hold, and what failed
 * once is not lost.
 */
import {existsSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import Database from 'better-sqlite3';
import sharp from 'sharp';
import {beforeEach, describe, expect, it} from 'vitest';
import {temporaryFolder} from '../images/temporary-folder.js';
import {doneOf, outputOf, pupil, statusOf, writeData, type Data} from './pupil.js';

const POOL = 40;
let data: Data;
let home: string;

beforeEach(async () => {
  const folder = await temporaryFolder();
  data = await writeData(path.join(folder, 'data'), POOL);
  home = path.join(folder, 'home');
});

const pool = (name: string) => path.join(data.folder, 'pool', name);
const scores = () => path.join(home, 'data/colours/scores');
const command = () => ['orchestrate', data.config, '--home', home, '--until', 'score'];

function inDatabase<T>(use: (connection: Database.Database) => T): T {
  const connection = new Database(path.join(home, 'db/colours.sqlite'));
  try {
    return use(connection);
  } finally {
    connection.close();
  }
}
const quarantined = () =>
  inDatabase(connection => connection.prepare("SELECT place FROM quarantine WHERE stage = 'score'").pluck().all());

/** Pictures whose head is whole: only decoding them tells that they are broken. */
function cutPictures(count: number): void {
  for (let number = 0; number < count; number++)
    writeFileSync(pool(`${number}.png`), readFileSync(pool(`${number}.png`)).subarray(0, 300));
}

describe('--max-failures', () => {
  it('stops scoring as often as the command is run, wherever the pictures lie, and lets it go on once it is raised', async () => {
    // Two and a half of five shards.
    cutPictures(20);
    for (let attempt = 0; attempt < 3; attempt++) {
      const {code, stderr} = await pupil([...command(), '--max-failures', '0.2']);
      expect([code, stderr]).toEqual([
        5,
        expect.stringMatching(/of 40 images could not be used .*\nThe last one: \S+\.png: png: /),
      ]);
    }
    const done = doneOf(await outputOf([...command(), '--json', '--max-failures', '0.5']));
    expect(done.stages['score']).toMatchObject({status: 'ran'});
    expect(quarantined()).toHaveLength(20);
  });

  it('does not count what failed under other settings', async () => {
    for (let number = 20; number < 30; number++)
      writeFileSync(
        pool(`${number}.png`),
        await sharp(pool(`${number}.png`))
          .gif()
          .toBuffer(),
      );
    const refused = await pupil([...command(), '--max-failures', '0.2']);
    expect([refused.code, refused.stderr]).toEqual([5, expect.stringContaining('gif; allowed: jpeg, png, webp')]);
    await outputOf([
      ...command(),
      '--max-failures',
      '0.2',
      '--set',
      'limits.formats=[jpeg,png,webp,gif]',
      '--set',
      'score.shard_size=16',
    ]);
    expect(quarantined()).toEqual([]);
  });

  it('is of no matter where nothing at all can be decoded', async () => {
    cutPictures(POOL);
    const {code, stderr} = await pupil([...command(), '--max-failures', '0.2', '--set', 'score.shard_size=100']);
    expect([code, stderr]).toEqual([
      3,
      expect.stringContaining('POOL_EMPTY: none of the 40 unlabelled images could be decoded'),
    ]);
  });
});

describe('a disk that fails while the pool is scored', () => {
  it('ends the run (exit 4), which goes on once it is back', async () => {
    const preload = pathToFileURL(fileURLToPath(new URL('../fixtures/unreadable-pool.mjs', import.meta.url))).href;
    const failed = await pupil(command(), {node: [`--import=${preload}`]});
    expect([failed.code, failed.stderr]).toEqual([
      4,
      expect.stringMatching(
        /None of 8 pictures in a row can be read; the first is \S+pool\/\S+: the file cannot be read \(EIO\)\. Is its disk there\?/,
      ),
    ]);
    await outputOf(command());
    expect(quarantined()).toEqual([]);
    expect((await statusOf(home)).stages.find(({name}) => name === 'score')).toMatchObject({status: 'fresh'});
  });

  it('for a few pictures has their shard done again with the stage', async () => {
    await outputOf(command());
    inDatabase(connection =>
      connection.exec(
        "INSERT INTO quarantine (stage, part, image, place, code, detail) VALUES ('score', '2', NULL, '/gone.png', 'UNREADABLE', 'the file cannot be read (EIO)')",
      ),
    );
    expect((await pupil([...command(), '--from', 'score'])).stderr).toMatch(
      /[1-9]\d* of \d+ images are scored already/,
    );
    expect(quarantined()).toEqual([]);
  });
});

describe('a network that answers NaN', () => {
  it('to more than a thousandth of the pool ends the run (exit 5), and leaves no such answers', async () => {
    writeFileSync(
      pool('0.png'),
      await sharp({create: {width: 20, height: 20, channels: 3, background: '#000'}})
        .png()
        .toBuffer(),
    );
    const env = {PUPIL_COLOUR_TRAINER_NAN: '1'};
    for (let attempt = 0; attempt < 2; attempt++) {
      const {code, stderr} = await pupil([...command(), '--max-failures', '0.5', '--set', 'score.shard_size=100'], {
        env,
      });
      expect([code, stderr]).toEqual([
        5,
        expect.stringMatching(
          /The network answers NaN or infinity for 1 of the 40 images of the pool, such as \S+pool\/0\.png\. It may overflow: set score\.precision to fp32/,
        ),
      ]);
      expect(existsSync(scores()) ? readdirSync(scores()) : []).toEqual([]);
    }
  });
});
