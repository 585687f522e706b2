import {readdir, readFile, rm, writeFile} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import {asyncBufferFromFile, parquetMetadataAsync} from 'hyparquet';
import sharp from 'sharp';
import {describe, expect, it} from 'vitest';
import type {ImageReference, ScoreShard} from '../../src/children/protocol.js';
import {readScores} from '../../src/images/score-file.js';
import {unpackIds} from '../../src/ranking/image-ids.js';
import {png, put} from '../images/pictures.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {indexed, mixedPool} from './pools.js';
import {decoding, eventsOf, resultOf, runWorker, startWorker} from './worker-process.js';

const model = (name: string) => fileURLToPath(new URL(`../fixtures/onnx/${name}.onnx`, import.meta.url));
const waitOnMarker = new URL('../fixtures/wait-on-marker.mjs', import.meta.url).href;
const classes = ['ant', 'bee', 'cat', 'dog', 'elk', 'fox'];
const base = {
  model: model('classifier-32'),
  device: 'cpu',
  images: 0,
  layout: {batchSize: 4, decodeThreads: 2, networks: 1, networkThreads: 2},
  kept: 4,
  classes,
  decoding,
  fingerprint: 'f00d',
};

/** Shards of `size` images each. */
const shardsOf = (images: ImageReference[], size: number, folder: string): ScoreShard[] =>
  Array.from({length: Math.ceil(images.length / size)}, (_, shard) => ({
    shard,
    output: `${folder}/shard-${shard}.parquet`,
    images: images.slice(shard * size, (shard + 1) * size),
  }));

const failure = async (changes: object, lines: object[] = []) => {
  const ended = await runWorker({task: 'score', ...base, ...changes}, lines);
  return {...ended, last: ended.events.at(-1)};
};

describe('scoring', () => {
  it('writes the top classes of every image of every kind of source', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 5);
    const images = await indexed(root);
    expect(images).toHaveLength(15);
    const ended = await resultOf('score', base, shardsOf(images, 6, root));
    expect(ended.result).toMatchObject({shards: 3, images: 15});
    expect(eventsOf(ended, 'shard').map(({shard, rows, quarantined}) => [shard, rows, quarantined])).toEqual([
      [0, 6, []],
      [1, 6, []],
      [2, 3, []],
    ]);

    const scores = await readScores(`${root}/shard-1.parquet`, 4);
    expect(unpackIds(scores.ids)).toEqual(images.slice(6, 12).map(({id}) => id));
    const {key_value_metadata: metadata} = await parquetMetadataAsync(
      await asyncBufferFromFile(`${root}/shard-1.parquet`),
    );
    expect(metadata).toEqual([
      {key: 'classes', value: JSON.stringify(classes)},
      {key: 'shard', value: '1'},
      {key: 'fingerprint', value: 'f00d'},
    ]);
    for (let row = 0; row < 6; row++) {
      const logProbs = scores.logProbs.map(column => column[row]!);
      expect(logProbs).toEqual([...logProbs].sort((a, b) => b - a));
      expect(logProbs.every(value => value < 0)).toBe(true);
      expect(new Set(scores.classes.map(column => column[row])).size).toBe(4);
    }
  });

  it('gives the same bytes whatever the networks, the threads and the batch size', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 30);
    const images = await indexed(root);
    // Broken ones among them, so that batches and images do not fall in step.
    await put(`${root}/folder/2.png`, 'no image');
    const files = new Map<string, string>();
    const layout = {batchSize: 7, decodeThreads: 2, networks: 1, networkThreads: 2};
    for (const [name, changes] of Object.entries({
      one: {layout: {batchSize: 7, decodeThreads: 1, networks: 1, networkThreads: 1}},
      two: {layout},
      eight: {layout: {...layout, decodeThreads: 8}},
      wide: {layout: {...layout, batchSize: 64}},
      single: {layout: {...layout, batchSize: 1}},
      several: {layout: {...layout, networks: 3, networkThreads: 1}},
    })) {
      const ended = await resultOf('score', {...base, ...changes}, shardsOf(images, 50, `${root}/${name}`));
      files.set(
        name,
        eventsOf(ended, 'shard')
          .map(({sha256}) => sha256)
          .join(),
      );
    }
    expect(new Set(files.values()).size).toBe(1);
  });

  it('scores an image alike wherever it lies and whatever is beside it', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 20);
    const images = await indexed(root);
    await resultOf('score', base, [
      {shard: 0, output: `${root}/all.parquet`, images},
      {shard: 1, output: `${root}/reversed.parquet`, images: [...images].reverse()},
      {shard: 2, output: `${root}/one.parquet`, images: images.slice(33, 34)},
    ]);
    const [all, reversed, one] = await Promise.all(
      ['all', 'reversed', 'one'].map(name => readScores(`${root}/${name}.parquet`, 4)),
    );
    expect([...reversed!.logProbs[0]!].reverse()).toEqual([...all!.logProbs[0]!]);
    expect([...one!.logProbs[3]!]).toEqual([all!.logProbs[3]![33]]);
  });

  it('sets aside what is broken, gone or changed since it was indexed, and scores the rest', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 8);
    const images = await indexed(root);
    const image = (name: string) => images.find(({place}) => place.endsWith(name))!;
    const [gone, changed, cut] = ['folder/0.png', 'folder/2.png', 'folder/4.png'].map(image);
    await rm(gone!.file);
    await put(changed!.file, await png(77, 40, 36));
    const beyond = {...image('#3.png'), offset: 10_000_000};
    const broken = {...cut!, id: images[3]!.id};
    const ended = await resultOf('score', base, [
      {
        shard: 0,
        output: `${root}/0.parquet`,
        images: [
          ...images.filter(one => ![gone, changed, cut, image('#3.png')].includes(one)),
          gone!,
          changed!,
          broken,
          beyond,
        ],
      },
    ]);
    const [{rows, quarantined}] = eventsOf(ended, 'shard') as [ReturnType<typeof eventsOf<'shard'>>[number]];
    expect(rows).toBe(20);
    expect(quarantined.map(({id, problem}) => [id, problem.code])).toEqual([
      [gone!.id, 'UNREADABLE'],
      [changed!.id, 'CHANGED'],
      [broken.id, 'CHANGED'],
      [beyond.id, 'UNREADABLE'],
    ]);
  });

  it('goes on without a picture that takes too long, even with one decoder, and with it where it may take longer', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 8);
    await put(`${root}/folder/0.png`, Buffer.concat([await png(0), Buffer.from('a decoder waits at this')]));
    const images = await indexed(root);
    const slow = images.findIndex(({place}) => place.endsWith('folder/0.png'));
    const endWith = async (timeoutSeconds: number) => {
      const layout = {batchSize: 4, decodeThreads: 1, networks: 1, networkThreads: 1};
      const ended = await resultOf(
        'score',
        {...base, layout, decoding: {...decoding, timeoutSeconds}},
        shardsOf(images, 50, root),
        {NODE_OPTIONS: `--import=${waitOnMarker}`},
      );
      return eventsOf(ended, 'shard').map(({rows, quarantined}) => ({rows, quarantined}));
    };
    const problem = {code: 'DECODE_TIMEOUT', detail: 'took longer than 1 s (limits.decode_seconds)'};
    expect(await endWith(1)).toEqual([{rows: 23, quarantined: [{id: images[slow]!.id, problem}]}]);
    expect(await endWith(300)).toEqual([{rows: 24, quarantined: []}]);
  });

  it('quarantines a score that is no number', async () => {
    const root = await temporaryFolder();
    const black = sharp({create: {width: 32, height: 32, channels: 3, background: '#000'}});
    await put(`${root}/folder/black.png`, await black.png().toBuffer());
    await put(`${root}/folder/other.png`, await png(5));
    await put(`${root}/shards/0.tar`, Buffer.alloc(1024));
    await put(`${root}/cifar/train.bin`, '');
    const images = await indexed(root);
    const ended = await resultOf('score', {...base, model: model('nan-32')}, shardsOf(images, 10, root));
    const [shard] = eventsOf(ended, 'shard');
    expect(shard).toMatchObject({
      rows: 1,
      quarantined: [
        {
          id: images.find(({place}) => place.includes('black'))!.id,
          problem: {code: 'BAD_SCORE', detail: 'the network answered NaN'},
        },
      ],
    });
    expect(unpackIds((await readScores(`${root}/shard-0.parquet`, 4)).ids)).toEqual([
      images.find(({place}) => place.includes('other'))!.id,
    ]);
  });

  it('matches classes by name where the model has them in another order', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 4);
    const images = await indexed(root);
    await resultOf('score', base, shardsOf(images, 20, `${root}/a`));
    await resultOf('score', {...base, model: model('other-order-32')}, shardsOf(images, 20, `${root}/b`));
    const [straight, turned] = await Promise.all(
      ['a', 'b'].map(name => readScores(`${root}/${name}/shard-0.parquet`, 4)),
    );
    expect(turned!.classes[0]).toEqual(straight!.classes[0]!.map(index => 5 - index));
    expect(turned!.logProbs).toEqual(straight!.logProbs);
  });

  it('publishes an empty shard', async () => {
    const root = await temporaryFolder();
    const ended = await resultOf('score', base, [{shard: 4, output: `${root}/4.parquet`, images: []}]);
    expect(eventsOf(ended, 'shard')).toMatchObject([{shard: 4, rows: 0}]);
    expect(unpackIds((await readScores(`${root}/4.parquet`, 4)).ids)).toEqual([]);
  });

  it('publishes nothing of a shard that it was killed in, and the next attempt gives the same bytes', async () => {
    const root = await temporaryFolder();
    await mixedPool(root, 60);
    const images = await indexed(root);
    const shards = shardsOf(images, 60, `${root}/scores`);
    const whole = await resultOf('score', base, shardsOf(images, 60, `${root}/whole`));
    const expected = eventsOf(whole, 'shard').map(({sha256}) => sha256);
    for (let attempt = 0; attempt < 5; attempt++) {
      const running = await startWorker({task: 'score', ...base}, shards);
      await running.event('hello');
      await new Promise(resolve => setTimeout(resolve, 60 + attempt * 40));
      running.child.kill('SIGKILL');
      await running.ended;
      for (const file of (await readdir(`${root}/scores`).catch(() => [])).filter(name => name.endsWith('.parquet'))) {
        expect((await readFile(`${root}/scores/${file}`)).equals(await readFile(`${root}/whole/${file}`))).toBe(true);
      }
    }
    const again = await resultOf('score', base, shards);
    expect(eventsOf(again, 'shard').map(({sha256}) => sha256)).toEqual(expected);
    expect((await readdir(`${root}/scores`)).filter(name => !name.endsWith('.parquet'))).toEqual([]);
  });
});

describe('a model that does not fit ends scoring before the first shard', () => {
  it.each([
    [
      'other classes',
      {model: model('other-classes-32')},
      /The model has 7 classes, the data 6: it lacks fox; it also has gnu, hen\./,
    ],
    [
      'another size',
      {model: model('classifier-16'), kept: 6},
      /The model takes 16 px cut from 20 px, the task prepares 32 px cut from 32 px/,
    ],
    ['too few classes kept', {kept: 5}, /keeps 4 classes an image; the task wants 5/],
    ['no description', {model: model('undescribed')}, /has no "pupil" metadata/],
    ['weights in another file', {model: model('external')}, /cannot be opened: .*external/i],
    ['no file', {model: '/nowhere.onnx'}, /nowhere\.onnx cannot be read/],
  ])('%s', async (_, changes, message) => {
    const root = await temporaryFolder();
    const {last, exitCode} = await failure(changes, [{shard: 0, output: `${root}/0.parquet`, images: []}]);
    expect(last).toMatchObject({type: 'failed', reason: 'model', message: expect.stringMatching(message)});
    expect(exitCode).toBe(65);
    expect(await readdir(root)).toEqual([]);
  });

  it.each([
    ['garbage', 'garbage '.repeat(100)],
    ['an empty file', ''],
    ['a cut-off model', null],
  ])('%s', async (_, content) => {
    const root = await temporaryFolder();
    await writeFile(`${root}/bad.onnx`, content ?? (await readFile(model('classifier-32'))).subarray(0, 500));
    const {last} = await failure({model: `${root}/bad.onnx`});
    expect(last).toMatchObject({type: 'failed', reason: 'model'});
  });
});

it('CUDA that is not there is a device failure, never a silent CPU', async () => {
  const {last, exitCode} = await failure({device: 'cuda:99'});
  expect(last).toMatchObject({
    type: 'failed',
    reason: 'device',
    message: expect.stringMatching(/^cuda:99 cannot be used: /),
  });
  expect(exitCode).toBe(70);
});
