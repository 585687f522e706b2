import {existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync} from 'node:fs';
import {spawnSync} from 'node:child_process';
import path from 'node:path';
import {describe, expect, it, vi} from 'vitest';
import {sendFile, serve} from '../datasets/file-server.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {program, pupil, startPupil} from './pupil.js';

const BYTES = 168_513_733;
const zeros = Buffer.alloc(BYTES);
const partOf = (home: string) => path.join(home, 'data/cifar-100-binary.tar.gz.part');
const sizeOf = (file: string) => (existsSync(file) ? statSync(file).size : 0);
const linesOf = (stdout: string) =>
  stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>);

describe('pupil fetch', () => {
  it.each([
    [
      'a name it does not know',
      ['fetch', 'cifar'],
      'There is no data set "cifar". Data sets: cifar10, cifar100, tiny-imagenet. Did you mean cifar10?\n',
    ],
    ['no name', ['fetch'], 'pupil fetch needs <datasets..>. See pupil fetch --help.\n'],
    [
      'a mirror that is no address',
      ['fetch', 'cifar10', '--mirror', '/mnt/data'],
      '--mirror /mnt/data: expected an address under which the archives lie by their own names, such as https://mirror.example.org/data.\n',
    ],
  ])('refuses %s (exit 2)', async (_, args, message) => {
    const home = await temporaryFolder();
    expect(await pupil([...args, '--home', home])).toEqual({code: 2, signal: null, stdout: '', stderr: message});
    expect(readdirSync(home)).toEqual([]);
  });

  it('names the folder on stdout where all is there already, and asks no server', async () => {
    const home = await temporaryFolder();
    for (const folder of ['cifar-100-binary', 'tiny-imagenet-200'])
      mkdirSync(path.join(home, 'data', folder), {recursive: true});
    const {code, stdout} = await pupil([
      'fetch',
      'cifar100',
      'tiny-imagenet',
      '--home',
      home,
      '--mirror',
      'http://127.0.0.1:1',
    ]);
    expect([code, stdout]).toEqual([0, `${home}/data/cifar-100-binary\n${home}/data/tiny-imagenet-200\n`]);
  });

  it.each(['', '{', '[]', '{"md5":1}'])(
    'tells a note of what was unpacked that is damaged: %j (exit 3)',
    async receipt => {
      const home = await temporaryFolder();
      mkdirSync(path.join(home, 'data/cifar-100-binary'), {recursive: true});
      writeFileSync(path.join(home, 'data/cifar-100-binary/.fetched.json'), receipt);
      const {code, stderr} = await pupil(['fetch', 'cifar100', '--home', home]);
      expect([code, stderr]).toEqual([
        3,
        `${home}/data/cifar-100-binary/.fetched.json is damaged, so that nothing tells whether ${home}/data/cifar-100-binary is whole. Remove that file to take the folder as it is, or move the folder away to have it anew.\n`,
      ]);
    },
  );

  it.each([
    ['a file', (place: string) => writeFileSync(place, '')],
    ['a link to nothing', (place: string) => symlinkSync('/nowhere/at/all', place)],
  ])('says that %s lies where its folder must be made (exit 4)', async (_, put) => {
    const home = await temporaryFolder();
    put(path.join(home, 'data'));
    const {code, stderr} = await pupil(['fetch', 'cifar100', '--home', home, '--mirror', 'http://127.0.0.1:1']);
    expect(code).toBe(4);
    expect(stderr).toMatch(/data/);
    expect(stderr).not.toMatch(/^ +at |bug in pupil/m);
  });

  it('says what comes, how large, from where, into which folder and on whose terms before it asks', async () => {
    const home = await temporaryFolder();
    const {address} = await serve((_, response) => void response.writeHead(404).end());
    const {code, stdout, stderr} = await pupil(['fetch', 'tiny-imagenet', '--home', home, '--mirror', address]);
    expect([code, stdout]).toEqual([4, '']);
    const [title, from, into, terms, fault] = stderr.split('\n');
    expect(title).toBe('Tiny ImageNet: 120,000 pictures of 64 px in 200 classes');
    expect(from).toBe(`  from ${address}/tiny-imagenet-200.zip (248 MB)`);
    expect(into).toBe(`  into ${home}/data/tiny-imagenet-200`);
    expect(terms).toMatch(/^ {2}Its pictures are ImageNet's, for non-commercial research and education .* To cite: /);
    expect(fault).toBe(
      `${address}/tiny-imagenet-200.zip says 404 Not Found. To do without it, download http://cs231n.stanford.edu/tiny-imagenet-200.zip on a machine that can, ` +
        `put the file here as ${home}/data/tiny-imagenet-200.zip, and run the same command again; or name a mirror of it: pupil fetch tiny-imagenet --home ${home} --mirror URL.`,
    );
  });

  it('finds a damaged download out by its checksum, deletes it and tells scripts (exit 3)', async () => {
    const home = await temporaryFolder();
    const {address} = await serve((request, response) => sendFile(request, response, zeros));
    const {code, stdout} = await pupil(['fetch', 'cifar100', '--home', home, '--mirror', address, '--json']);
    expect(code).toBe(3);
    const lines = linesOf(stdout);
    expect(lines[0]).toMatchObject({
      type: 'dataset_started',
      dataset: 'cifar100',
      bytes: BYTES,
      address: `${address}/cifar-100-binary.tar.gz`,
    });
    expect(lines.at(-1)).toMatchObject({
      type: 'failed',
      exit_code: 3,
      message: expect.stringMatching(
        /its md5 is [0-9a-f]{32}, expected 03b5dce01913d631647c71ecec9e9cb8\. It was deleted\./,
      ) as string,
    });
    expect(readdirSync(path.join(home, 'data'))).toEqual([]);
  });

  it.each(['SIGINT', 'SIGKILL'] as const)(
    'stopped by %s keeps what came, and the same command goes on from there',
    async signal => {
      const home = await temporaryFolder();
      const {address, asked} = await serve((_, response) => {
        if (asked.length > 1) return void response.writeHead(404).end();
        response.writeHead(200, {'content-length': BYTES, etag: '"one"'}).write(zeros.subarray(0, 3_000_000));
      });
      const command = ['fetch', 'cifar100', '--home', home, '--mirror', address];
      const running = startPupil(command);
      await vi.waitUntil(() => sizeOf(partOf(home)) === 3_000_000, {timeout: 600_000});
      running.child.kill(signal);
      const {code, stderr} = await running.ended;
      if (signal === 'SIGINT') {
        expect(code).toBe(130);
        expect(stderr).toMatch(/\nStopped\. What was done is saved; the same command goes on from here\.\n$/);
      }
      const again = await pupil(command);
      expect(again.stderr).toContain('cifar100: going on at 3 MB of 169 MB\n');
      expect(asked[1]?.headers).toMatchObject({range: 'bytes=3000000-', 'if-range': '"one"'});
      expect(sizeOf(partOf(home))).toBe(3_000_000);
    },
  );

  it('in two processes at once ends the second (exit 75)', async () => {
    const home = await temporaryFolder();
    const {address} = await serve((_, response) => void response.writeHead(200, {'content-length': BYTES}).write('x'));
    const running = startPupil(['fetch', 'cifar100', '--home', home, '--mirror', address]);
    await vi.waitUntil(() => sizeOf(partOf(home)) > 0, {timeout: 600_000});
    expect(await pupil(['fetch', 'cifar100', '--home', home, '--mirror', address])).toMatchObject({
      code: 75,
      stderr: `Another process is fetching data sets into ${home}. Wait for it, and run the same command again.\n`,
    });
    running.child.kill('SIGTERM');
    expect((await running.ended).code).toBe(143);
  });
});

describe('a run whose data sets are not there', () => {
  /** Whatever the machine's own network is: nothing leaves it. */
  const offline = {https_proxy: 'http://user:secret@127.0.0.1:1', http_proxy: 'http://127.0.0.1:1', no_proxy: ''};

  it('fetches them first; offline it says at once which file to put where (exit 4)', async () => {
    const home = await temporaryFolder();
    const {code, stderr} = await pupil(['orchestrate', '--preset', 'cifar100-cpu', '--home', home], {env: offline});
    expect(code).toBe(4);
    expect(stderr).not.toContain('trying again');
    expect(stderr).toContain(`  not in ${home}/data yet, so fetched first: CIFAR-100\n`);
    expect(stderr).toContain('  from https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz (169 MB)\n');
    expect(stderr).toContain(
      'Cannot reach https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz (https_proxy names 127.0.0.1:1 as the proxy): the connection is refused. ' +
        `To do without it, download https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz on a machine that can, put the file here as ${home}/data/cifar-100-binary.tar.gz, and run the same command again`,
    );
  });

  it('is told that Python is missing before anything is downloaded (exit 4)', async () => {
    const home = await temporaryFolder();
    const {code, stderr} = await pupil(['orchestrate', '--preset', 'cifar100-cpu', '--home', home], {
      env: {...offline, PUPIL_PYTHON: '/nowhere/python'},
    });
    expect([code, stderr]).toEqual([4, expect.stringMatching(/^There is no Python at \/nowhere\/python/)]);
  });

  it('gets the same service from a config of its own', async () => {
    const home = await temporaryFolder();
    writeFileSync(
      path.join(home, 'mine.yaml'),
      'labelled: {source: "cifar10:data/cifar-10-batches-bin?split=train", per_class: 10}\nunlabelled: rest\ntest: cifar10:data/cifar-10-batches-bin?split=test\n',
    );
    const {code, stdout} = await pupil(['orchestrate', 'mine.yaml', '--json'], {cwd: home, env: offline});
    expect(code).toBe(4);
    expect(linesOf(stdout).map(({type}) => type)).toEqual(['note', 'dataset_started', 'failed']);
  });

  it('would fetch them, says --dry-run, and writes nothing', async () => {
    const home = await temporaryFolder();
    const {code, stdout} = await pupil(['orchestrate', '--preset', 'cifar100', '--home', home, '--dry-run'], {
      env: offline,
    });
    expect(code).toBe(0);
    expect(stdout).toBe(
      `It would fetch first, into ${home}/data:\n` +
        '  CIFAR-100 (60,000 pictures of 32 px in 100 classes, 169 MB) from https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz\n' +
        '  Tiny ImageNet (120,000 pictures of 64 px in 200 classes, 248 MB) from http://cs231n.stanford.edu/tiny-imagenet-200.zip\n' +
        'and then run every stage: prepare, teacher, export, score, select, pretrain, finetune, baseline, evaluate, report. Nothing was written.\n',
    );
    const json = await pupil(['orchestrate', '--preset', 'cifar100-cpu', '--home', home, '--dry-run', '--json'], {
      env: offline,
    });
    expect(JSON.parse(json.stdout)).toMatchObject({
      run: 'cifar100-cpu',
      datasets: [{name: 'cifar100', bytes: BYTES, path: `${home}/data/cifar-100-binary`}],
    });
    expect(readdirSync(home)).toEqual([]);
  });
});

const canMount =
  spawnSync('unshare', ['--map-root-user', '--mount', 'sh', '-c', 'mount -t tmpfs tmpfs /mnt']).status === 0;
if (!canMount) console.warn('SKIPPED: a small disk needs a namespace of its own, which this machine does not give.');

it.skipIf(!canMount)('a disk that is too small is told before anything is asked for (exit 4)', async () => {
  const home = await temporaryFolder();
  const script = 'mount -t tmpfs -o size=2m tmpfs "$HOME_FOLDER" || exit 99; "$@" 2>&1';
  const command = [process.execPath, program, 'fetch', 'cifar100', '--home', home, '--mirror', 'http://127.0.0.1:1'];
  const {stdout, status} = spawnSync('unshare', ['--map-root-user', '--mount', 'sh', '-c', script, 'sh', ...command], {
    encoding: 'utf8',
    env: {...process.env, HOME_FOLDER: home},
  });
  expect(status).toBe(4);
  expect(stdout).toMatch(
    /\nCIFAR-100 needs 539 MB in \S+\/data while it is unpacked; \S+ MB are free\. Make room, or name another home with --home DIR, and run the same command again\.\n$/,
  );
});
