import {rm} from 'node:fs/promises';
import sharp from 'sharp';
import {describe, expect, it} from 'vitest';
import type {PackItem} from '../../src/children/protocol.js';
import {openPack} from '../../src/images/pack.js';
import {patches, pixelsOf, put} from '../images/pictures.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {indexed, mixedPool, mixedSources} from './pools.js';
import {decoding, eventsOf, resultOf, runWorker} from './worker-process.js';

const classes = ['a', 'b', 'c'];
const base = {decoding, threads: 2, classes, kept: 0, heldOut: []};
/** A task that makes one pack. */
const into = (output: string, size = decoding.size) => ({...base, packs: [{output, size}]});

describe('packing', () => {
  it('leaves out what looks like a held-out picture in its middle, and tells which one', async () => {
    const root = await temporaryFolder();
    const folder = async (name: string) => indexed(`${root}/${name}`, mixedSources(`${root}/${name}`).slice(0, 1));
    await put(`${root}/held/folder/1.png`, await patches(1));
    const [held] = await folder('held');
    await resultOf('pack', {...into(`${root}/test`, 32), decoding: {...decoding, resize: 48}}, [
      {...held!, pack: 0, labels: [0], answers: null},
    ]);
    await put(
      `${root}/pool/folder/copy.webp`,
      await sharp(await patches(1))
        .webp({quality: 80})
        .toBuffer(),
    );
    for (const number of [2, 3]) await put(`${root}/pool/folder/${number}.png`, await patches(number));
    const items = (await folder('pool')).map(image => ({...image, pack: 0, labels: [1], answers: null}));

    const ended = await resultOf(
      'pack',
      {
        ...into(`${root}/pack`, 48),
        decoding: {...decoding, resize: 48},
        heldOut: [{name: 'test', pack: `${root}/test`}],
      },
      items,
    );
    expect(ended.result).toEqual({packs: [{images: 2, samples: 2, quarantined: 1}]});
    const copy = items.find(({place}) => place.endsWith('copy.webp'))!;
    expect(eventsOf(ended, 'quarantined')[0]?.images).toEqual([
      {id: copy.id, problem: {code: 'LEAK', detail: `looks like image ${held!.id} of the test set`}},
    ]);
  });

  it('keeps the order of its input, the labels, and the pixels', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 6);
    const items: PackItem[] = (await indexed(root)).map((image, i) => ({
      ...image,
      pack: 0,
      labels: i % 4 === 0 ? [0, 2] : [i % 3],
      answers: null,
    }));
    const {result} = await resultOf('pack', into(`${root}/pack`), items);
    expect(result).toEqual({packs: [{images: 18, samples: 23, quarantined: 0}]});
    const pack = await openPack(`${root}/pack`);
    const ids = [];
    for await (const id of pack.ids()) ids.push(id);
    expect(ids).toEqual(items.map(({id}) => id));
    expect([...pack.samplePairs]).toEqual(items.flatMap(({labels}, row) => labels.flatMap(label => [row, label])));
    const row = Buffer.alloc(3072);
    await pack.readRows(
      items.findIndex(({place}) => place.endsWith('#3.png')),
      1,
      row,
    );
    expect(row).toEqual(pixelsOf(1003));
    await pack.readRows(
      items.findIndex(({place}) => place.endsWith('train.bin#4')),
      1,
      row,
    );
    expect(row).toEqual(pixelsOf(2004));
    await pack.close();
  });

  it('sets aside what cannot be decoded and closes the ranks', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 6);
    const items = (await indexed(root)).map(image => ({...image, pack: 0, labels: [0], answers: null}));
    const [gone, changed] = [items[1]!, items[3]!];
    await rm(gone.file);
    await put(changed.file, 'changed');
    const ended = await resultOf('pack', into(`${root}/pack`), items);
    expect(ended.result).toEqual({packs: [{images: 16, samples: 16, quarantined: 2}]});
    expect(
      eventsOf(ended, 'quarantined').flatMap(({images}) => images.map(({id, problem}) => [id, problem.code])),
    ).toEqual([
      [gone.id, 'UNREADABLE'],
      [changed.id, 'CHANGED'],
    ]);
  });

  it('makes several packs, each of pictures of a side of its own, and tells what is set aside of which', async () => {
    const root = await temporaryFolder();
    for (let number = 0; number < 18; number++) await put(`${root}/folder/${number}.png`, await patches(number));
    const images = await indexed(root, mixedSources(root).slice(0, 1));
    const parts = [images.slice(0, 7), [], images.slice(7)];
    const items = parts.flatMap((part, pack) => part.map(image => ({...image, pack, labels: [pack], answers: null})));
    await rm(images[8]!.file);
    const packs = [48, 40, 32].map((size, pack) => ({output: `${root}/pack ${pack}`, size}));
    const ended = await resultOf('pack', {...base, decoding: {...decoding, resize: 48}, packs}, items);
    expect(ended.result).toEqual({
      packs: [
        {images: 7, samples: 7, quarantined: 0},
        {images: 0, samples: 0, quarantined: 0},
        {images: 10, samples: 10, quarantined: 1},
      ],
    });
    expect(eventsOf(ended, 'quarantined').map(({pack, images}) => [pack, images.map(({id}) => id)])).toEqual([
      [2, [images[8]!.id]],
    ]);
    for (const [number, {output, size}] of packs.entries()) {
      const pack = await openPack(output);
      const ids = [];
      for await (const id of pack.ids()) ids.push(id);
      expect(pack.size).toBe(size);
      expect(ids).toEqual(parts[number]!.flatMap(({id}) => (id === images[8]!.id ? [] : [id])));
      await pack.close();
    }
  });

  it('may be empty', async () => {
    const root = await temporaryFolder();
    expect((await resultOf('pack', into(`${root}/pack`))).result).toEqual({
      packs: [{images: 0, samples: 0, quarantined: 0}],
    });
  });

  it('refuses a label without a class, and a line that is no descriptor', async () => {
    const root = await temporaryFolder();
    const item = {
      id: '0'.repeat(24),
      place: 'x',
      file: '/x',
      offset: null,
      length: null,
      encoding: 'encoded',
      pack: 0,
      labels: [3],
      answers: null,
    };
    for (const [line, message] of [
      [item, /label 3, but there are 3 classes/],
      [{...item, labels: [0], answers: {classes: [4], logProbs: [-1]}}, /label 4, but there are 3 classes/],
      [{...item, labels: 'none'}, /refused/],
      [{...item, more: 1}, /more/],
      [{...item, labels: [0], pack: 1}, /is for pack 1, which is not its turn/],
    ] as const) {
      const ended = await runWorker({task: 'pack', ...into(`${root}/pack`)}, [line]);
      expect(ended.events.at(-1)).toMatchObject({
        type: 'failed',
        reason: 'config',
        message: expect.stringMatching(message),
      });
      expect(ended.exitCode).toBe(64);
    }
  });
});
