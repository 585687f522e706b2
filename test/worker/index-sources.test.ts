import {createHash} from 'node:crypto';
import {chmod, readFile} from 'node:fs/promises';
import {gzipSync} from 'node:zlib';
import {describe, expect, it} from 'vitest';
import {cifarRecord, png, put} from '../images/pictures.js';
import {tarOf} from '../images/tar-file.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {CHUNK_ROWS, openListing, readChunk} from '../../src/pool/listing-files.js';
import {packIds} from '../../src/ranking/image-ids.js';
import {listedBy, mixedPool, mixedSources} from './pools.js';
import {eventsOf, runWorker} from './worker-process.js';

const idOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex').slice(0, 24);

describe('indexing', () => {
  it('gives every image of every kind of source the hash of its bytes', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 3);
    const {ended, listed} = await listedBy({sources: mixedSources(root)});
    const [inFolder, inTar, records] = listed.map(images => images.map(({file, member, id}) => ({file, member, id})));
    expect(inTar).toEqual(
      await Promise.all([0, 1, 2].map(async i => ({file: '0.tar', member: `${i}.png`, id: idOf(await png(1000 + i))}))),
    );
    expect(records).toEqual(
      [0, 1, 2].map(i => ({file: 'train.bin', member: String(i), id: idOf(cifarRecord([], 2000 + i))})),
    );
    for (const {file, id} of inFolder!) expect(id).toBe(idOf(await readFile(`${root}/folder/${file}`)));
    expect(ended.result.sources).toMatchObject([0, 1, 2].map(() => ({classes: null, images: 3, notes: []})));
    expect(ended.events[0]).toMatchObject({type: 'hello', protocol: 1, device: 'cpu'});
  });

  it('lists more than a file holds into several, every image of them once', async () => {
    const root = await temporaryFolder();
    const records = CHUNK_ROWS + 1234;
    const pixels = Buffer.alloc(3074 * records);
    for (let i = 0; i < records; i++) pixels.writeUInt32LE(i, 3074 * i + 2);
    await put(`${root}/train.bin`, pixels);
    const {ended, listed} = await listedBy({
      sources: [{kind: 'cifar100', path: root, split: 'train', labelled: false}],
    });
    expect(ended.result.sources[0]!.chunks).toHaveLength(2);
    expect(listed[0]!.map(({member}) => Number(member))).toEqual(Array.from({length: records}, (_, i) => i));
    expect(new Set(listed[0]!.map(({id}) => id)).size).toBe(records);
    expect(listed[0]!.at(-1)).toMatchObject({offset: 3074 * (records - 1) + 2, length: 3072, encoding: 'cifar'});
  });

  it('reads no file again whose name, size and times are those of an earlier listing, whole or broken off', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 3);
    const first = await listedBy({sources: mixedSources(root)});
    const known = (position: number) => first.folders[position]!;
    // Nothing tells of what is in a file but its name, its size and its times: with other ids they would be taken, too.
    const marked = await temporaryFolder();
    const writer = openListing(marked);
    for (const [row, image] of first.listed[0]!.entries())
      writer.add(image, packIds([String(row).padStart(24, '0')]), 0, (await readChunk(known(0), 0)).stamps[row]!);
    await writer.close();
    await put(`${root}/folder/new.png`, await png(77));
    const again = await listedBy({
      sources: mixedSources(root).map((source, position) => ({
        ...source,
        known: [position === 0 ? marked : known(position)],
      })),
    });
    expect(again.listed.slice(1)).toEqual(first.listed.slice(1));
    expect(new Map(again.listed[0]!.map(({file, id}) => [file, id]))).toEqual(
      new Map([
        ...first.listed[0]!.map(({file}, row): [string, string] => [file, String(row).padStart(24, '0')]),
        ['new.png', idOf(await png(77))],
      ]),
    );
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
    const {ended, listed} = await listedBy({
      sources: [
        {kind: 'folder', path: root, split: null, labelled: false},
        {kind: 'webdataset', path: `${root}/0.tar`, split: null, labelled: false},
      ],
      maxFileBytes: 1999,
    });
    const codes = eventsOf(ended, 'unusable').flatMap(({images}) =>
      images.map(({file, member, problem}) => [member ?? file, problem.code]),
    );
    expect(codes.sort()).toEqual([
      ['0.tar', 'FILE_TOO_LARGE'],
      ['empty.png', 'EMPTY_FILE'],
      ['empty.png', 'EMPTY_FILE'],
      ['large.png', 'FILE_TOO_LARGE'],
      ['large.png', 'FILE_TOO_LARGE'],
    ]);
    expect(listed.map(images => images.map(({file, member}) => member ?? file))).toEqual([['good.png'], ['good.png']]);
    expect(ended.result.sources.map(({images}) => images)).toEqual([1, 1]);
  });

  it.skipIf(process.getuid?.() === 0)('sets aside what may not be read', async () => {
    const root = await temporaryFolder();
    await put(`${root}/locked.png`, 'x');
    await chmod(`${root}/locked.png`, 0);
    const {ended} = await listedBy({sources: [{kind: 'folder', path: root, split: null, labelled: false}]});
    expect(eventsOf(ended, 'unusable')[0]?.images).toMatchObject([{file: 'locked.png', problem: {code: 'UNREADABLE'}}]);
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
    const {ended} = await listedBy({
      sources: [
        {kind: 'folder', path: `${root}/folder`, split: null, labelled: true},
        {kind: 'webdataset', path: `${root}/0.tar`, split: null, labelled: true},
        {kind: 'manifest', path: `${root}/list.csv`, split: null, labelled: true},
      ],
    });
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
    const {listed} = await listedBy({
      sources: [{kind: 'cifar100', path: `${root}/cifar-100-binary.tar.gz`, split: null, labelled: true}],
    });
    expect(listed[0]!.map(({label, id}) => [label, id])).toEqual([
      ['class_7', idOf(cifarRecord([], 1))],
      ['class_8', idOf(cifarRecord([], 2))],
    ]);
  });

  it('ends with a data failure where a source cannot be read', async () => {
    const root = await temporaryFolder();
    await put(`${root}/list.jsonl`, 'no json');
    const ended = await runWorker({
      task: 'index',
      sources: [
        {
          kind: 'manifest',
          path: `${root}/list.jsonl`,
          split: null,
          labelled: false,
          listing: `${root}/listing`,
          known: [],
        },
      ],
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
