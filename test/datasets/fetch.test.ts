import {createHash} from 'node:crypto';
import {once} from 'node:events';
import {existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {connect} from 'node:net';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {gzipSync} from 'node:zlib';
import {describe, expect, it, onTestFinished, vi} from 'vitest';
import type {Patience} from '../../src/datasets/download.js';
import {fetchDatasets} from '../../src/datasets/fetch.js';
import type {Dataset} from '../../src/datasets/known.js';
import {Interrupted} from '../../src/errors.js';
import type {Event} from '../../src/events.js';
import {openSource, parseSource} from '../../src/images/source.js';
import {takeLock} from '../../src/store/lock.js';
import {tarOf} from '../images/tar-file.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {sendFile, serve, type Answer} from './file-server.js';
import {zipOf} from './zip-file.js';

const RECORD = 2 + 3072;
const records = (count: number) => Buffer.alloc(count * RECORD, 1);
const names = Array.from({length: 100}, (_, at) => `class_${at}`).join('\n');
/** Like CIFAR-100, with few pictures; random bytes beside them so that the archive is long enough to be cut. */
const noise = Buffer.concat(Array.from({length: 1000}, (_, at) => createHash('sha256').update(String(at)).digest()));
const tarGz = gzipSync(
  tarOf(
    {name: 'cifar-100-binary/', type: '5'},
    {name: 'cifar-100-binary/train.bin', content: records(6)},
    {name: 'cifar-100-binary/test.bin', content: records(3)},
    {name: 'cifar-100-binary/fine_label_names.txt', content: names},
    {name: 'cifar-100-binary/file.txt~', content: noise},
  ),
);
const md5 = (content: Buffer) => createHash('md5').update(content).digest('hex');

const small = (content: Buffer, address: string, folder = 'cifar-100-binary'): Dataset => ({
  name: 'small',
  title: 'Small',
  contents: 'a few pictures',
  address,
  bytes: content.length,
  md5: md5(content),
  folder,
  unpackingBytes: 1_000_000,
  terms: 'cite us',
});

const quick: Patience = {silenceMs: 1000, vainAttempts: 3, firstPauseMs: 1};

interface Fetched {
  home: string;
  dataset: Dataset;
  events: Event[];
  error: unknown;
}

/** Fetches a data set into a home and tells all that happened. */
async function fetchFrom(
  dataset: Dataset,
  home: string,
  {signal = new AbortController().signal, patience = quick, mirror = null as string | null} = {},
): Promise<Fetched> {
  const events: Event[] = [];
  const error: unknown = await fetchDatasets([dataset], {
    home,
    mirror,
    signal,
    patience,
    emit: event => events.push(event),
  }).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return {home, dataset, events, error};
}

/** Serves an archive and fetches it from there. */
async function fetchServed(
  answer: Answer,
  content: Buffer = tarGz,
  home?: string,
): Promise<Fetched & {asked: {headers: Record<string, unknown>}[]}> {
  const {address, asked} = await serve(answer);
  return {...(await fetchFrom(small(content, `${address}/small.tar.gz`), home ?? (await temporaryFolder()))), asked};
}

const lastNote = (events: readonly Event[]) => events.findLast(event => event.type === 'note')?.message;
const part = (home: string) => path.join(home, 'data/small.tar.gz.part');
const folderOf = (home: string) => path.join(home, 'data/cifar-100-binary');

/** What is left in data/ when all went well. */
const expectWhole = ({home, error, events}: Fetched) => {
  expect(error).toBeNull();
  expect(readdirSync(path.join(home, 'data'))).toEqual(['cifar-100-binary']);
  expect(readFileSync(path.join(folderOf(home), 'file.txt~'))).toEqual(noise);
  expect(events.at(-1)).toEqual({type: 'dataset_ready', dataset: 'small', path: folderOf(home), status: 'fetched'});
};

describe('a data set that is not there', () => {
  it('is announced with its size, place and terms, downloaded, checked, unpacked, and leaves no archive behind', async () => {
    const fetched = await fetchServed((request, response) => sendFile(request, response, tarGz));
    expectWhole(fetched);
    const {dataset, home} = fetched;
    expect(fetched.events[0]).toEqual({
      type: 'dataset_started',
      dataset: 'small',
      title: 'Small',
      contents: 'a few pictures',
      address: dataset.address,
      bytes: tarGz.length,
      path: folderOf(home),
      terms: 'cite us',
    });
  });

  it('can be read as a source of pictures at once', async () => {
    const {home} = await fetchServed((request, response) => sendFile(request, response, tarGz));
    const spec = await parseSource(`cifar100:${folderOf(home)}?split=train`, '/');
    const source = await openSource(spec, {labelled: true, cache: home});
    const labels: (string | null)[] = [];
    for await (const lot of source.entries(new AbortController().signal)) labels.push(...lot.map(({label}) => label));
    expect(labels).toEqual(Array.from({length: 6}, () => 'class_1'));
  });

  it('comes from a mirror under the same file name', async () => {
    const {address, asked} = await serve((request, response) => sendFile(request, response, tarGz));
    const fetched = await fetchFrom(
      small(tarGz, 'https://nowhere.invalid/files/small.tar.gz'),
      await temporaryFolder(),
      {mirror: `${address}/pub/`},
    );
    expectWhole(fetched);
    expect(asked.map(({url}) => url)).toEqual(['/pub/small.tar.gz']);
  });

  it('is followed to where the server redirects', async () => {
    expectWhole(
      await fetchServed((request, response) => {
        if (request.url === '/elsewhere') sendFile(request, response, tarGz);
        else response.writeHead(302, {location: '/elsewhere'}).end();
      }),
    );
  });

  it('comes through the proxy that the environment names', async () => {
    const {address, asked} = await serve((request, response) => sendFile(request, response, tarGz));
    let tunnels = 0;
    const {address: proxy, onConnect} = await proxyServer();
    onConnect(() => tunnels++);
    vi.stubEnv('http_proxy', proxy);
    try {
      expectWhole(await fetchFrom(small(tarGz, `${address}/small.tar.gz`), await temporaryFolder()));
    } finally {
      vi.unstubAllEnvs();
    }
    expect([tunnels, asked.length]).toEqual([1, 1]);
  });
});

describe('a data set that is there', () => {
  it('is left alone, and no server is asked', async () => {
    const first = await fetchServed((request, response) => sendFile(request, response, tarGz));
    const {mtimeMs} = statSync(folderOf(first.home));
    const {error, events} = await fetchFrom(first.dataset, first.home);
    expect(error).toBeNull();
    expect(events).toEqual([{type: 'dataset_ready', dataset: 'small', path: folderOf(first.home), status: 'there'}]);
    expect(first.asked).toHaveLength(1);
    expect(statSync(folderOf(first.home)).mtimeMs).toBe(mtimeMs);
  });

  it('but not whole any more is refused with what is missing, and not touched (exit 3)', async () => {
    const first = await fetchServed((request, response) => sendFile(request, response, tarGz));
    truncateSync(path.join(folderOf(first.home), 'train.bin'), 100);
    rmSync(path.join(folderOf(first.home), 'test.bin'));
    const {error} = await fetchFrom(first.dataset, first.home);
    expect(error).toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(
        /is no longer as it was unpacked: 3 files with [\d,]+ bytes, expected 4 with .* Move it away/,
      ) as string,
    });
    expect(first.asked).toHaveLength(1);
  });

  it('because people unpacked it themselves is taken as it is, and that is said', async () => {
    const home = await temporaryFolder();
    mkdirSync(folderOf(home), {recursive: true});
    const {error, events} = await fetchFrom(small(tarGz, 'https://nowhere.invalid/small.tar.gz'), home);
    expect(error).toBeNull();
    expect(lastNote(events)).toBe(`small: ${folderOf(home)} was brought by other means, and is taken as it is`);
  });
});

describe('an archive that people put in the place', () => {
  const placed = (home: string) => path.join(home, 'data/small.tar.gz');
  const offline = small(tarGz, 'https://nowhere.invalid/small.tar.gz');

  it('is checked and unpacked without a network, and stays', async () => {
    const home = await temporaryFolder();
    mkdirSync(path.join(home, 'data'));
    writeFileSync(placed(home), tarGz);
    expect((await fetchFrom(offline, home)).error).toBeNull();
    expect(readdirSync(path.join(home, 'data')).sort()).toEqual(['cifar-100-binary', 'small.tar.gz']);
  });

  it.each([
    [
      'of another size',
      tarGz.subarray(1),
      `${(tarGz.length - 1).toLocaleString('en-US')} bytes, expected ${tarGz.length.toLocaleString('en-US')}`,
    ],
    [
      'with another checksum',
      Buffer.alloc(tarGz.length),
      `its md5 is ${md5(Buffer.alloc(tarGz.length))}, expected ${md5(tarGz)}`,
    ],
  ])('%s is refused and stays (exit 3)', async (_, content, difference) => {
    const home = await temporaryFolder();
    mkdirSync(path.join(home, 'data'));
    writeFileSync(placed(home), content);
    const {error} = await fetchFrom(offline, home);
    expect(error).toMatchObject({
      exitCode: 3,
      message: `${placed(home)} is not the file of ${offline.address}: ${difference}. Replace it, or remove it to have it downloaded; then run the same command again.`,
    });
    expect(readFileSync(placed(home))).toEqual(content);
  });
});

describe('a server that breaks off', () => {
  it('in the middle is asked for the rest alone', async () => {
    const fetched = await fetchServed((request, response, nth) =>
      sendFile(request, response, tarGz, nth === 1 ? {cutAfter: 5000} : {}),
    );
    expectWhole(fetched);
    expect(fetched.asked.map(({headers}) => [headers['range'], headers['if-range']])).toEqual([
      [undefined, undefined],
      ['bytes=5000-', '"one"'],
    ]);
    expect(
      fetched.events.some(
        event =>
          event.type === 'note' &&
          /^small: broke off at 5 kB: the server closed the connection; trying again/.test(event.message),
      ),
    ).toBe(true);
  });

  it('and knows no ranges is asked for all of it again', async () => {
    const fetched = await fetchServed((request, response, nth) =>
      sendFile(request, response, tarGz, {ranges: false, ...(nth === 1 && {cutAfter: 5000})}),
    );
    expectWhole(fetched);
  });

  it('and has another version by then sends all of that', async () => {
    const fetched = await fetchServed((request, response, nth) => {
      if (nth === 1) sendFile(request, response, Buffer.alloc(tarGz.length, 7), {cutAfter: 5000, etag: '"old"'});
      else sendFile(request, response, tarGz, {etag: '"new"'});
    });
    expectWhole(fetched);
    expect(fetched.asked[1]?.headers['if-range']).toBe('"old"');
  });

  it.each([
    ['refuses the range', (response: Parameters<Answer>[1]) => response.writeHead(416).end()],
    [
      'sends another range',
      (response: Parameters<Answer>[1]) =>
        response
          .writeHead(206, {'content-range': `bytes 7-${tarGz.length - 1}/${tarGz.length}`})
          .end(tarGz.subarray(7)),
    ],
  ])('and then %s is asked for all of it', async (_, answer) => {
    const fetched = await fetchServed((request, response, nth) => {
      if (nth === 1) sendFile(request, response, tarGz, {cutAfter: 5000});
      else if (nth === 2) answer(response);
      else sendFile(request, response, tarGz);
    });
    expectWhole(fetched);
  });

  it('again and again, ever a little further, is asked until all is there', async () => {
    const fetched = await fetchServed((request, response) => sendFile(request, response, tarGz, {cutAfter: 8000}));
    expectWhole(fetched);
    // What was on its way when the connection broke may be lost, too.
    expect(fetched.asked.length).toBeGreaterThanOrEqual(Math.ceil(tarGz.length / 8000));
  });

  it('always at the same place is given up after a few times; what came is kept, and the same command goes on (exit 4)', async () => {
    const home = await temporaryFolder();
    let stubborn = true;
    const {address, asked} = await serve((request, response) =>
      sendFile(request, response, tarGz, stubborn ? {cutAfter: request.headers.range === undefined ? 5000 : 0} : {}),
    );
    const dataset = small(tarGz, `${address}/small.tar.gz`);
    const {error} = await fetchFrom(dataset, home);
    expect(error).toMatchObject({exitCode: 4});
    expect((error as Error).message).toMatch(
      /broke off 3 times in a row, the last time at 5 kB of .*: the server closed the connection\. What came is kept; the same command goes on from there\. /,
    );
    expect(statSync(part(home)).size).toBe(5000);
    stubborn = false;
    const again = await fetchFrom(dataset, home);
    expectWhole(again);
    expect(asked.at(-1)?.headers.range).toBe('bytes=5000-');
    expect(again.events[1]).toMatchObject({
      type: 'note',
      message: expect.stringMatching(/^small: going on at 5 kB of/) as string,
    });
  });

  it('with "busy" is asked again', async () => {
    const fetched = await fetchServed((request, response, nth) =>
      nth < 3 ? void response.writeHead(503).end() : sendFile(request, response, tarGz),
    );
    expectWhole(fetched);
  });
});

describe('a slow server', () => {
  it('may take longer than the limit on silence, as long as it goes on sending', async () => {
    const begun = performance.now();
    const fetched = await fetchServed(async (_, response) => {
      response.writeHead(200, {'content-length': tarGz.length});
      const step = Math.ceil(tarGz.length / 6);
      for (let at = 0; at < tarGz.length; at += step) {
        response.write(tarGz.subarray(at, at + step));
        await sleep(400);
      }
      response.end();
    });
    expectWhole(fetched);
    expect(performance.now() - begun).toBeGreaterThan(2 * quick.silenceMs);
    expect(fetched.events.filter(event => event.type === 'dataset_progress').length).toBeGreaterThanOrEqual(1);
  });

  it('that falls silent is asked again', async () => {
    const fetched = await fetchServed((request, response, nth) => {
      if (nth > 1) sendFile(request, response, tarGz);
      else response.writeHead(200, {'content-length': tarGz.length, etag: '"one"'}).write(tarGz.subarray(0, 3000));
    });
    expectWhole(fetched);
    expect(fetched.asked[1]?.headers['range']).toBe('bytes=3000-');
    expect(
      fetched.events.some(event => event.type === 'note' && event.message.includes('the server fell silent')),
    ).toBe(true);
  });
});

describe('a server that has something else', () => {
  const nothingLeft = (home: string) => expect(readdirSync(path.join(home, 'data'))).toEqual([]);

  it('of the same size is found out by the checksum; the download is deleted (exit 3)', async () => {
    const other = Buffer.alloc(tarGz.length, 9);
    const {error, home, dataset} = await fetchServed((request, response) => sendFile(request, response, other));
    expect(error).toMatchObject({exitCode: 3});
    expect((error as Error).message).toContain(
      `${dataset.address} sent another file than the one expected: its md5 is ${md5(other)}, expected ${md5(tarGz)}. It was deleted.`,
    );
    nothingLeft(home);
  });

  it('of another size is not downloaded at all (exit 3)', async () => {
    const {error, home} = await fetchServed((request, response) => sendFile(request, response, Buffer.alloc(12)));
    expect(error).toMatchObject({
      exitCode: 3,
      message: expect.stringContaining(
        `holds another file: 12 bytes, expected ${tarGz.length.toLocaleString('en-US')}.`,
      ) as string,
    });
    nothingLeft(home);
  });

  it('and does not tell its length is stopped where it sends too much (exit 3)', async () => {
    const {error, home} = await fetchServed(
      (_, response) => void response.writeHead(200).end(Buffer.alloc(tarGz.length + 1)),
    );
    expect(error).toMatchObject({exitCode: 3, message: expect.stringContaining('more than the expected') as string});
    nothingLeft(home);
  });

  it('namely a login page, is told from a file (exit 4)', async () => {
    const {error} = await fetchServed(
      (_, response) => void response.writeHead(200, {'content-type': 'text/html; charset=utf-8'}).end('<html>'),
    );
    expect(error).toMatchObject({exitCode: 4, message: expect.stringContaining('answers with a web page') as string});
  });

  it.each([404, 403, 410])('namely nothing (%i), ends it at once with what to do instead (exit 4)', async status => {
    const {error, asked, dataset, home} = await fetchServed((_, response) => void response.writeHead(status).end());
    expect(error).toMatchObject({exitCode: 4});
    expect((error as Error).message).toMatch(new RegExp(`small\\.tar\\.gz says ${status} \\w`));
    expect((error as Error).message).toContain(
      `download ${dataset.address} on a machine that can, put the file here as ${home}/data/small.tar.gz, and run the same command again; or name a mirror of it: pupil fetch small --home ${home} --mirror URL.`,
    );
    expect(asked).toHaveLength(1);
    nothingLeft(home);
  });
});

describe('a stop', () => {
  it('in the middle keeps what came, and the same command goes on', async () => {
    const home = await temporaryFolder();
    let asking = 0;
    const {address, asked} = await serve((request, response) => {
      if (asking++ > 0) return sendFile(request, response, tarGz);
      response.writeHead(200, {'content-length': tarGz.length, etag: '"one"'}).write(tarGz.subarray(0, 9000));
    });
    const dataset = small(tarGz, `${address}/small.tar.gz`);
    const stop = new AbortController();
    const stopped = fetchFrom(dataset, home, {signal: stop.signal, patience: {...quick, silenceMs: 60_000}});
    await vi.waitUntil(() => existsSync(part(home)) && statSync(part(home)).size === 9000, {timeout: 600_000});
    stop.abort(new Interrupted());
    expect((await stopped).error).toBeInstanceOf(Interrupted);
    expect(statSync(part(home)).size).toBe(9000);
    expectWhole(await fetchFrom(dataset, home));
    expect(asked[1]?.headers.range).toBe('bytes=9000-');
  });

  it('after the download leaves it to be unpacked without another one', async () => {
    const home = await temporaryFolder();
    const {address, asked} = await serve((request, response) => sendFile(request, response, tarGz));
    const dataset = small(tarGz, `${address}/small.tar.gz`);
    const stop = new AbortController();
    const error: unknown = await fetchDatasets([dataset], {
      home,
      mirror: null,
      signal: stop.signal,
      patience: quick,
      emit: event =>
        event.type === 'note' && event.message.includes('unpacking') && stop.abort(new Interrupted('SIGTERM')),
    }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({name: 'Interrupted', signal: 'SIGTERM'});
    expect(readdirSync(path.join(home, 'data')).sort()).toEqual(['small.tar.gz.part', 'small.tar.gz.part.json']);
    expectWhole(await fetchFrom(dataset, home));
    expect(asked).toHaveLength(1);
  });
});

it('a second process waits for none: it is told that the first is at it (exit 75)', async () => {
  const home = await temporaryFolder();
  const lock = takeLock(path.join(home, 'db/.fetch.lock'));
  const {error} = await fetchFrom(small(tarGz, 'https://nowhere.invalid/small.tar.gz'), home);
  lock?.release();
  expect(error).toMatchObject({
    exitCode: 75,
    message: `Another process is fetching data sets into ${home}. Wait for it, and run the same command again.`,
  });
});

it('a disk without room is told before anything is fetched (exit 4)', async () => {
  const {address, asked} = await serve((request, response) => sendFile(request, response, tarGz));
  const {error} = await fetchFrom(
    {...small(tarGz, `${address}/small.tar.gz`), unpackingBytes: 1e18},
    await temporaryFolder(),
  );
  expect(error).toMatchObject({
    exitCode: 4,
    message: expect.stringMatching(/^Small needs .* TB in .* while it is unpacked; .* are free\. Make room/) as string,
  });
  expect(asked).toEqual([]);
});

describe('an archive', () => {
  const image = {name: 'tiny/train/n01/images/n01_0.JPEG', content: 'a picture'};
  const zipped = async (content: Buffer) => {
    const home = await temporaryFolder();
    const {address} = await serve((request, response) => sendFile(request, response, content));
    return await fetchFrom(small(content, `${address}/small.zip`, 'tiny'), home);
  };
  const tarred = async (content: Buffer) =>
    await fetchServed((request, response) => sendFile(request, response, content), content);

  it('that is a zip keeps its folders; what lies beside its one folder is left out', async () => {
    const {home, error} = await zipped(
      zipOf(
        {name: 'tiny/', mode: 0o040755},
        image,
        {name: 'tiny/val/empty/', mode: 0o040755},
        {name: 'tiny/words.txt', stored: true, content: 'n01\tfish'},
        {name: '__MACOSX/x', content: 'x'},
      ),
    );
    expect(error).toBeNull();
    const files = readdirSync(path.join(home, 'data/tiny'), {recursive: true}).sort();
    expect(files).toEqual([
      '.fetched.json',
      'train',
      'train/n01',
      'train/n01/images',
      'train/n01/images/n01_0.JPEG',
      'val',
      'val/empty',
      'words.txt',
    ]);
    expect(readFileSync(path.join(home, 'data/tiny/train/n01/images/n01_0.JPEG'), 'utf8')).toBe('a picture');
    expect(readdirSync(path.join(home, 'data'))).toEqual(['tiny']);
  });

  const bad: [string, 'zip' | 'tar', () => Buffer, RegExp][] = [
    [
      'a name that climbs out',
      'zip',
      () => zipOf(image, {name: '../evil', content: 'x'}),
      /invalid relative path: \.\.\/evil/,
    ],
    [
      'a name that climbs out from within',
      'zip',
      () => zipOf(image, {name: 'tiny/../../evil', content: 'x'}),
      /invalid relative path/,
    ],
    ['an absolute name', 'zip', () => zipOf(image, {name: '/tmp/evil', content: 'x'}), /absolute path: \/tmp\/evil/],
    [
      'a name with a backslash',
      'zip',
      () => zipOf(image, {name: 'tiny\\..\\evil', content: 'x'}),
      /invalid characters in fileName/,
    ],
    [
      'a symbolic link',
      'zip',
      () => zipOf(image, {name: 'tiny/link', content: '/etc', mode: 0o120777}),
      /holds tiny\/link, which is neither a file nor a folder/,
    ],
    ['a file twice', 'zip', () => zipOf(image, image), /holds a file twice/],
    [
      'another folder than expected',
      'zip',
      () => zipOf({name: 'other/a.txt', content: 'x'}),
      /holds no folder tiny\. Nothing was unpacked/,
    ],
    [
      'only the name of a zip',
      'zip',
      () => Buffer.from('no zip, whatever its name says it is'),
      /is damaged: End of central directory record signature not found/,
    ],
    ['its end missing', 'zip', () => zipOf(image).subarray(0, -30), /is damaged: End of central directory/],
    [
      'a name that climbs out',
      'tar',
      () => gzipSync(tarOf({name: 'cifar-100-binary/../../evil', content: 'x'})),
      /holds "cifar-100-binary\/\.\.\/\.\.\/evil", a name that may lead out/,
    ],
    [
      'an absolute name',
      'tar',
      () => gzipSync(tarOf({name: '/tmp/evil', content: 'x'})),
      /holds "\/tmp\/evil", a name that may lead out/,
    ],
    [
      'a symbolic link',
      'tar',
      () => gzipSync(tarOf({name: 'cifar-100-binary/link', type: '2', linkname: '/etc'})),
      /link, which is neither a file nor a folder/,
    ],
    [
      'a device',
      'tar',
      () => gzipSync(tarOf({name: 'cifar-100-binary/null', type: '3'})),
      /null, which is neither a file nor a folder/,
    ],
    [
      'a member cut off',
      'tar',
      () => gzipSync(tarOf({name: 'cifar-100-binary/train.bin', content: records(6)}).subarray(0, 5000)),
      /is damaged: the member at byte 0 is cut off/,
    ],
    ['its end missing', 'tar', () => tarGz.subarray(0, -100), /is damaged: unexpected end of file/],
    ['only the name of a gzip', 'tar', () => Buffer.from('no gzip'), /is damaged: incorrect header check/],
  ];
  it.each(bad)('with %s (%s) is refused, and nothing of it is left (exit 3)', async (_, kind, content, message) => {
    const {home, error} = await (kind === 'zip' ? zipped : tarred)(content());
    expect(error).toMatchObject({name: 'UserError', exitCode: 3, message: expect.stringMatching(message) as string});
    expect(readdirSync(path.join(home, 'data')).filter(name => !name.includes('.part'))).toEqual([]);
    expect(
      existsSync(path.join(home, 'evil')) || existsSync(path.join(home, 'data/evil')) || existsSync('/tmp/evil'),
    ).toBe(false);
  });
});

/** A proxy that tunnels anywhere. */
async function proxyServer(): Promise<{address: string; onConnect: (listener: () => void) => void}> {
  const listeners: (() => void)[] = [];
  const server = createServer().on('connect', (request, socket, head) => {
    listeners.forEach(listener => listener());
    const {hostname, port} = new URL(`http://${request.url}`);
    const upstream = connect(Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    for (const end of [socket, upstream]) end.on('error', () => upstream.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('The proxy has no port.');
  return {address: `http://127.0.0.1:${bound.port}`, onConnect: listener => listeners.push(listener)};
}
