import {spawnSync} from 'node:child_process';
import {appendFileSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, utimesSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import Database from 'better-sqlite3';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {takeLock} from '../../src/store/lock.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {
  colourTrainer,
  copyOf,
  lastingFolder,
  look,
  orchestrate,
  program,
  pupil,
  rankingRows,
  statusOf,
  writeData,
  type Data,
  forgetKept,
} from './pupil.js';

const {folder, remove} = lastingFolder();
const finished = path.join(folder, 'home');
let data: Data;
beforeAll(async () => {
  data = await writeData(folder, 18);
  await orchestrate(data, finished);
});
afterAll(remove);

const aHome = async () => copyOf(finished, path.join(await temporaryFolder(), 'home'));

function alter(home: string, statement: string): void {
  const connection = new Database(path.join(home, 'db/colours.sqlite'));
  connection.exec(statement);
  connection.close();
}

describe('an altered database', () => {
  it('is shown by no command as true, and the same command makes the same rankings again', async () => {
    const home = await aHome();
    const before = rankingRows(home);
    forgetKept(home);
    alter(home, 'UPDATE rankings SET score = score / 2 WHERE class = 1 AND rank = 1');
    const refused = {
      exitCode: 4,
      message:
        'Run colours: what the database holds of select.ranking is not what was written. Run pupil orchestrate, which makes it anew.',
    };
    for (const command of [
      ['rankings'],
      ['rankings', 'red', '--csv'],
      ['why', path.join(folder, 'pool/0.png')],
      ['report'],
    ])
      await expect(look([...command, '--home', home])).rejects.toMatchObject(refused);
    const [first, ...others] = (await statusOf(home)).stages.filter(({status}) => status !== 'fresh');
    expect(first).toMatchObject({
      name: 'select',
      reason: 'what the database holds of select.ranking is not what was written',
    });
    for (const {reason} of others) expect(reason).toMatch(/^follows /);
    expect(Object.entries(await orchestrate(data, home)).filter(([, status]) => status !== 'fresh')).toEqual([
      ['select', 'ran'],
    ]);
    expect(rankingRows(home)).toEqual(before);
  });

  it('whose record of a result was altered is compared with nothing', async () => {
    const home = await aHome();
    alter(home, `UPDATE stages SET summary = replace(summary, '"top1":1', '"top1":0.5') WHERE name = 'evaluate'`);
    await expect(look(['compare', 'colours', 'colours', '--home', home])).rejects.toMatchObject({
      exitCode: 4,
      message:
        'Run colours: the record of evaluate in the database is not what was written. Run pupil orchestrate, which makes it anew.',
    });
    expect((await statusOf(home)).stages.find(({name}) => name === 'evaluate')).toMatchObject({
      status: 'stale',
      reason: 'the record of evaluate in the database is not what was written',
    });
  });
});

describe('scores', () => {
  const pooled = () => path.join(folder, 'pool/0.png');
  const shards = (home: string) =>
    readdirSync(path.join(home, 'data/colours/scores')).map(name => path.join(home, 'data/colours/scores', name));

  it('that are not what was written are told by no command (exit 4)', async () => {
    const home = await aHome();
    for (const shard of shards(home)) appendFileSync(shard, 'more');
    await expect(look(['why', pooled(), '--home', home])).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(
        /^Run colours: data\/colours\/scores\/shard-0000\d\.parquet is not what was written\. Run pupil orchestrate, which makes it anew\.$/,
      ) as string,
    });
    for (const shard of shards(home)) rmSync(shard);
    await expect(look(['why', pooled(), '--home', home])).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringContaining('.parquet is missing.') as string,
    });
  });

  it('that were made anew are not held against the rankings of those before, which are told to be out of date', async () => {
    const home = await aHome();
    await orchestrate(data, home, '--until', 'score', '--set', 'score.shard_size=7');
    await expect(look(['why', pooled(), '--home', home])).rejects.toMatchObject({
      exitCode: 3,
      message:
        'The selection of run colours is out of date: score has made something else since, and no cut-off is of these scores. Run pupil orchestrate to select anew.',
    });
    const {code, stdout, stderr} = await pupil(['rankings', '--home', home]);
    expect([code, stdout.split('\n')[0]]).toEqual([0, expect.stringMatching(/^class +candidates/)]);
    expect(stderr).toBe(
      'This selection is out of date: score has made something else since. Run pupil orchestrate to select anew.\n',
    );
  });
});

const canMount =
  spawnSync('unshare', ['--map-root-user', '--mount', 'sh', '-c', 'mount -t tmpfs tmpfs /mnt']).status === 0;
if (!canMount) console.warn('SKIPPED: a read-only disk needs unshare --map-root-user --mount.');

it.skipIf(!canMount)(
  'on a read-only disk every command that only looks answers, and what would write says so (exit 4)',
  async () => {
    const home = await aHome();
    const commands = [
      'status',
      'rankings red',
      'runs',
      'compare colours colours',
      `why ${path.join(folder, 'pool/0.png')}`,
    ];
    const run = (args: string) => `${process.execPath} ${program} ${args} --home ${home} >/dev/null 2>&1; echo "$?"`;
    const script = [
      `mount --bind ${home} ${home} && mount -o remount,ro,bind ${home} || exit 99`,
      ...commands.map(run),
      `${process.execPath} ${program} orchestrate ${data.config} --home ${home} 2>&1; echo "$?"`,
    ].join('\n');
    const {stdout} = spawnSync('unshare', ['--map-root-user', '--mount', 'sh', '-c', script], {
      encoding: 'utf8',
      env: {...process.env, PUPIL_PYTHON: colourTrainer, NO_COLOR: '1'},
    });
    expect(stdout).toMatch(/^(0\n){5}.*Cannot read or write.*\n4\n$/);
  },
);

it('a report is written anew once pictures that were only touched are looked into', async () => {
  const home = await aHome();
  utimesSync(path.join(folder, 'pool/0.png'), 1, 1);
  await expect(look(['report', '--home', home])).rejects.toMatchObject({
    exitCode: 2,
    message: expect.stringContaining('Run pupil orchestrate') as string,
  });
  await orchestrate(data, home);
  expect(await look(['report', '--home', home])).toBe(`${home}/models/colours/report.html\n`);
});

it('few files that may be open at once are told (exit 4), not a stack', () => {
  const {stderr, status} = spawnSync(
    'sh',
    ['-c', `ulimit -n 40; exec ${process.execPath} ${program} status --home ${finished}`],
    {encoding: 'utf8'},
  );
  expect([status, stderr]).toEqual([
    4,
    'Too many files are open at once. Raise the limit, as with ulimit -n 4096, and run the same command again.\n',
  ]);
});

describe.skipIf(process.platform !== 'linux')('address space', () => {
  const within = (kilobytes: number, ...args: string[]) =>
    spawnSync('sh', ['-c', `ulimit -v ${kilobytes}; exec ${process.execPath} ${program} ${args.join(' ')}`], {
      encoding: 'utf8',
      env: {...process.env, PUPIL_PYTHON: colourTrainer, NO_COLOR: '1'},
    });

  it('too small for Node is told (exit 4), not left to a dump', () => {
    const {stderr, status} = within(1_900_000, 'status', '--home', finished);
    expect([status, stderr]).toEqual([
      4,
      expect.stringMatching(
        /^The address space is limited to 1\.9\d GB \(ulimit -v\), .* Raise it to 4 GB or more, .*\n$/,
      ),
    ]);
  });

  it('of a few GB, as batch systems leave, is enough for a whole run: nothing reserves the tens of GB that WebAssembly would', async () => {
    const home = path.join(await temporaryFolder(), 'home');
    const {stderr, status} = within(6_000_000, 'orchestrate', data.config, '--home', home, '--set', 'limits.threads=2');
    expect([status, stderr]).toEqual([0, expect.any(String)]);
    expect(within(6_000_000, 'report', '--home', home).status).toBe(0);
  });

  it('that is too small for what a command needs besides is told, too (exit 4)', async () => {
    const {stderr, status} = within(
      6_000_000,
      'fetch',
      'cifar10',
      '--home',
      path.join(await temporaryFolder(), 'home'),
      '--mirror',
      'http://127.0.0.1:1',
    );
    expect([status, stderr]).toEqual([4, expect.stringMatching(/\(ulimit -v\)|127\.0\.0\.1/)]);
    expect(stderr).not.toMatch(/^ {4}at /m);
  });
});

it('a pool of which no file can be read is refused (exit 4), with the first', async () => {
  const home = path.join(await temporaryFolder(), 'home');
  const pool = path.join(home, '../gone');
  mkdirSync(pool);
  for (const name of ['a.png', 'b.png']) symlinkSync('/nowhere/picture.png', path.join(pool, name));
  await expect(
    look(['orchestrate', data.config, '--unlabelled', pool, '--home', home, '--json', '--max-failures', '1']),
  ).rejects.toMatchObject({
    exitCode: 4,
    message: expect.stringMatching(
      /^None of 2 files in .*gone can be read; the first is \S+\/[ab]\.png: a link that cannot be followed \(ENOENT\)\. Check the permissions, and that the disk is there\.$/,
    ) as string,
  });
});

describe('a second orchestration', () => {
  it('is refused (exit 75), naming who holds the run', async () => {
    const home = await aHome();
    const lock = takeLock(path.join(home, 'db/colours.lock'));
    const {code, stderr} = await pupil(['orchestrate', data.config, '--home', home]);
    lock?.release();
    expect([code, stderr]).toEqual([
      75,
      expect.stringMatching(
        /^Run colours is being worked on by process \d+ on \S+, since \S+\. Wait for it, or use another name \(--run NAME\)\.\n$/,
      ),
    ]);
  });

  it('is told before the libraries that work are loaded', () => {
    const loaded = new Set<string>();
    const follow = (file: URL): void => {
      if (loaded.has(file.href)) return;
      loaded.add(file.href);
      const source = readFileSync(fileURLToPath(file), 'utf8');
      for (const [, from] of source.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';/gm)) {
        if (from!.startsWith('.')) follow(new URL(from!.replace(/\.js$/, '.ts'), file));
        else loaded.add(from!);
      }
    };
    follow(new URL('../../src/commands/orchestrate.ts', import.meta.url));
    for (const heavy of ['execa', 'sharp', 'hyparquet', 'undici', 'onnxruntime-node'])
      expect(loaded).not.toContain(heavy);
  });
});
