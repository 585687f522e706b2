import {createHash} from 'node:crypto';
import {chmod, readFile} from 'node:fs/promises';
import {gzipSync} from 'node:zlib';
import {describe, expect, it} from 'vitest';
import {cifarRecord, png, put} from '../images/pictures.js';
import {tarOf} from '../images/tar-file.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {mixedPool, mixedSources} from './pools.js';
import {eventsOf, resultOf, runWorker} from './worker-process.js';

const idOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex').slice(0, 24);
const index = async (sources: object[], changes = {}) =>
  await resultOf('index', {
    sources,
    cache: await temporaryFolder(),
    ownFolders: [],
    maxFileBytes: 1_000_000,
    readThreads: 2,
    ...changes,
  });

describe('indexing', () => {
  it('gives every image of every kind of source the hash of its bytes', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 3);
    const ended = await index(mixedSources(root));
    const listed = eventsOf(ended, 'indexed').flatMap(({source, entries}) =>
      entries.map(({file, member, id, problem}) => ({source, file, member, id, problem})),
    );
    expect(listed.filter(({source}) => source === 1)).toEqual(
      await Promise.all(
        [0, 1, 2].map(async i => ({
          source: 1,
          file: '0.tar',
          member: `${i}.png`,
          id: idOf(await png(1000 + i)),
          problem: null,
        })),
      ),
    );
    expect(listed.filter(({source}) => source === 2)).toEqual(
      [0, 1, 2].map(i => ({
        source: 2,
        file: 'train.bin',
        member: String(i),
        id: idOf(cifarRecord([], 2000 + i)),
        problem: null,
      })),
    );
    const inFolder = listed.filter(({source}) => source === 0);
    for (const {file, id} of inFolder) expect(id).toBe(idOf(await readFile(`${root}/folder/${file}`)));
    expect(ended.result.sources).toMatchObject([0, 1, 2].map(() => ({classes: null, images: 3, notes: []})));
    expect(ended.events[0]).toMatchObject({type: 'hello', protocol: 1, device: 'cpu'});
  });

  it('sends entries by the hundreds, every one of them once', async () => {
    const root = await temporaryFolder();
    await put(`${root}/train.bin`, Buffer.concat(Array.from({length: 1234}, (_, i) => cifarRecord([0, 1], i))));
    const ended = await index([{kind: 'cifar100', path: root, split: 'train', labelled: false}]);
    const events = eventsOf(ended, 'indexed');
    expect(events.map(({entries}) => entries.length)).toEqual([500, 500, 234]);
    expect(new Set(events.flatMap(({entries}) => entries.map(({member}) => member))).size).toBe(1234);
  });

  it('sets aside what is empty, too large, no file or gone, and goes on', async () => {
    const root = await temporaryFolder();
    await put(`${root}/empty.png`, '');
    await put(`${root}/large.png`, Buffer.alloc(2000));
    await put(`${root}/good.png`, 'x');
    await put(
      `${root}/0.tar`,
      tarOf({name: 'empty.png'}, {name: 'large.png', content: Buffer.alloc(2000)}, {name: 'good.png', content: 'y'}),
    );
    const ended = await index(
      [
        {kind: 'folder', path: root, split: null, labelled: false},
        {kind: 'webdataset', path: `${root}/0.tar`, split: null, labelled: false},
      ],
      {maxFileBytes: 1999},
    );
    const codes = eventsOf(ended, 'indexed').flatMap(({entries}) =>
      entries.map(({file, member, id, problem}) => [member ?? file, problem?.code ?? (id === null ? 'neither' : 'id')]),
    );
    expect(codes.sort()).toEqual([
      ['0.tar', 'FILE_TOO_LARGE'],
      ['empty.png', 'EMPTY_FILE'],
      ['empty.png', 'EMPTY_FILE'],
      ['good.png', 'id'],
      ['good.png', 'id'],
      ['large.png', 'FILE_TOO_LARGE'],
      ['large.png', 'FILE_TOO_LARGE'],
    ]);
    expect(ended.result.sources.map(({images}) => images)).toEqual([1, 1]);
  });

  it.skipIf(process.getuid?.() === 0)('sets aside what may not be read', async () => {
    const root = await temporaryFolder();
    await put(`${root}/locked.png`, 'x');
    await chmod(`${root}/locked.png`, 0);
    const ended = await index([{kind: 'folder', path: root, split: null, labelled: false}]);
    expect(eventsOf(ended, 'indexed')[0]?.entries).toMatchObject([
      {file: 'locked.png', id: null, problem: {code: 'UNREADABLE'}},
    ]);
  });

  it('names the classes: those declared, else those of the labels, numbers in their order', async () => {
    const root = await temporaryFolder();
    for (const label of ['10', '9', '1']) await put(`${root}/folder/${label}/1.png`, label);
    await put(
      `${root}/0.tar`,
      tarOf(
        ...['10', '9', '1'].flatMap(label => [
          {name: `${label}.png`, content: label},
          {name: `${label}.cls`, content: label},
        ]),
      ),
    );
    await put(`${root}/list.csv`, 'path,label\nfolder/9/1.png,bird\nfolder/1/1.png,ant\n');
    const ended = await index([
      {kind: 'folder', path: `${root}/folder`, split: null, labelled: true},
      {kind: 'webdataset', path: `${root}/0.tar`, split: null, labelled: true},
      {kind: 'manifest', path: `${root}/list.csv`, split: null, labelled: true},
    ]);
    expect(ended.result.sources.map(({classes}) => classes)).toEqual([
      ['1', '10', '9'],
      ['1', '9', '10'],
      ['ant', 'bird'],
    ]);
  });

  it('reads an archive as downloaded through its cache', async () => {
    const root = await temporaryFolder();
    const names = Array.from({length: 100}, (_, i) => `class_${i}`);
    await put(
      `${root}/cifar-100-binary.tar.gz`,
      gzipSync(
        tarOf(
          {name: 'cifar-100-binary/fine_label_names.txt', content: names.join('\n')},
          {name: 'cifar-100-binary/train.bin', content: cifarRecord([0, 7], 1)},
          {name: 'cifar-100-binary/test.bin', content: cifarRecord([0, 8], 2)},
        ),
      ),
    );
    const ended = await index([
      {kind: 'cifar100', path: `${root}/cifar-100-binary.tar.gz`, split: null, labelled: true},
    ]);
    expect(eventsOf(ended, 'indexed')[0]?.entries.map(({label, id}) => [label, id])).toEqual([
      ['class_7', idOf(cifarRecord([], 1))],
      ['class_8', idOf(cifarRecord([], 2))],
    ]);
  });

  it('ends with a data failure where a source cannot be read', async () => {
    const root = await temporaryFolder();
    await put(`${root}/list.jsonl`, 'no json');
    const ended = await runWorker({
      task: 'index',
      sources: [{kind: 'manifest', path: `${root}/list.jsonl`, split: null, labelled: false}],
      ownFolders: [],
      cache: root,
      maxFileBytes: 1,
      readThreads: 1,
    });
    expect(ended.events.at(-1)).toMatchObject({
      type: 'failed',
      reason: 'data',
      code: 'UNREADABLE_SOURCE',
      message: expect.stringContaining('list.jsonl'),
    });
    expect(ended.exitCode).toBe(65);
  });
});
