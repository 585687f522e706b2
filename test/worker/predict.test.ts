import {fileURLToPath} from 'node:url';
import {describe, expect, it} from 'vitest';
import {readScores} from '../../src/images/score-file.js';
import {jpeg, png, put} from '../images/pictures.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {listedBy} from './pools.js';
import {decoding, eventsOf, resultOf} from './worker-process.js';

const model = fileURLToPath(new URL('../fixtures/onnx/classifier-32.onnx', import.meta.url));
const classes = ['ant', 'bee', 'cat', 'dog', 'elk', 'fox'];
const task = {model, device: 'cpu', decoding, threads: 2, top: 3};

describe('predicting', () => {
  it('names the best classes of each file in order, and the reason where a file is none', async () => {
    const root = await temporaryFolder();
    await put(`${root}/a.png`, await png(1));
    await put(`${root}/b.jpg`, (await jpeg(2, 100, 100)).subarray(0, 900));
    await put(`${root}/c.jpg`, await jpeg(3, 60, 90));
    const ended = await resultOf(
      'predict',
      task,
      ['a.png', 'b.jpg', 'gone.png', 'c.jpg'].map(name => ({image: name, file: `${root}/${name}`})),
    );
    expect(ended.result).toEqual({images: 4});
    const predicted = eventsOf(ended, 'predicted');
    expect(predicted.map(({image, error}) => [image, error?.code])).toEqual([
      ['a.png', undefined],
      ['b.jpg', 'TRUNCATED'],
      ['gone.png', 'UNREADABLE'],
      ['c.jpg', undefined],
    ]);
    for (const {classes: best, error} of predicted) {
      expect(best).toHaveLength(error === null ? 3 : 0);
      expect(best.map(({probability}) => probability)).toEqual(
        best.map(({probability}) => probability).sort((a, b) => b - a),
      );
      expect(best.reduce((sum, {probability}) => sum + probability, 0)).toBeLessThanOrEqual(1.00001);
    }
  });

  it('agrees with scoring', async () => {
    const root = await temporaryFolder();
    await put(`${root}/a.png`, await png(4));
    const sources = [{kind: 'folder', path: root, split: null, labelled: false}];
    const [image] = (await listedBy({sources})).listed[0]!;
    await resultOf(
      'score',
      {
        ...task,
        threads: undefined,
        top: undefined,
        images: 1,
        layout: {batchSize: 8, decodeThreads: 2, networks: 1, networkThreads: 2},
        kept: 4,
        classes,
        fingerprint: 'f',
      },
      [
        {
          shard: 0,
          output: `${root}/0.parquet`,
          images: [{id: image!.id, place: 'a', file: `${root}/a.png`, offset: null, length: null, encoding: 'encoded'}],
        },
      ],
    );
    const [{classes: best}] = eventsOf(
      await resultOf('predict', task, [{image: 'a', file: `${root}/a.png`}]),
      'predicted',
    ) as [ReturnType<typeof eventsOf<'predicted'>>[number]];
    const scores = await readScores(`${root}/0.parquet`, 3);
    expect(best.map(({class: name}) => name)).toEqual(scores.classes.map(column => classes[column[0]!]));
    best.forEach(({probability}, k) => expect(probability).toBeCloseTo(Math.exp(scores.logProbs[k]![0]!), 6));
  });
});
