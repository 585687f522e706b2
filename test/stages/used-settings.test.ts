import {describe, expect, it} from 'vitest';
import {configSchema} from '../../src/config/schema.js';
import {usedSettings, type TrainedStep} from '../../src/stages/used-settings.js';

const configOf = (keys: object) =>
  configSchema.parse({labelled: '/birds/train', unlabelled: '/pool', teacher: {model: 'cifarnet'}, ...keys});
const teacher: TrainedStep = {
  title: 'Teacher',
  step: 'teacher',
  pseudo: false,
  epochs: 40,
  steps: 1600,
  batchSize: 128,
};
const pretraining: TrainedStep = {
  title: 'Student, pre-training',
  step: 'pretrain',
  pseudo: true,
  epochs: 8,
  steps: 1250,
  batchSize: 128,
};

describe('the settings of training steps', () => {
  it('tell apart what differs, what is alike and what no step did, each key once', () => {
    const {steps, different, alike, off} = usedSettings(configOf({pretrain: {cutout: 0.25}}), 32, [
      teacher,
      pretraining,
    ]);
    expect(steps).toEqual(['Teacher', 'Student, pre-training']);
    expect(different).toEqual([
      {key: 'epochs', values: ['40', '8']},
      {key: 'steps', values: ['1600', '1250']},
      {key: 'targets', values: [null, 'soft']},
      {key: 'temperature', values: [null, '1']},
      {key: 'rest', values: [null, 'spread']},
      {key: 'labelled_share', values: [null, '0.375']},
      {key: 'cutout', values: ['0', '0.25']},
    ]);
    expect(alike).toEqual(
      expect.arrayContaining([
        {key: 'model', value: 'cifarnet'},
        {key: 'batch_size', value: '128'},
        {key: 'learning_rate', value: '1'},
        {key: 'schedule', value: 'linear'},
      ]),
    );
    expect(off).toEqual(['ema', 'balanced', 'augment', 'mix']);
  });

  it('show a key only where it means something', () => {
    const keysOf = (keys: object) => {
      const {different, alike, off} = usedSettings(configOf(keys), 32, [pretraining]);
      return [...different, ...alike].map(({key}) => key).concat(off);
    };
    for (const key of ['temperature', 'rest', 'strength', 'mix_alpha', 'min_area'])
      expect(keysOf({pretrain: {targets: 'hard'}})).not.toContain(key);
    expect(keysOf({pretrain: {targets: 'soft', mix: 'mixup', augment: 'rand', crop: 'resized'}})).toEqual(
      expect.arrayContaining(['temperature', 'rest', 'strength', 'mix_alpha', 'min_area']),
    );
  });

  it('name the batch size that was found, and keep every digit of a decay', () => {
    const {alike} = usedSettings(configOf({train: {batch_size: 'auto', ema: 0.9999}}), 32, [
      {...teacher, batchSize: 512},
    ]);
    expect(alike).toEqual(
      expect.arrayContaining([
        {key: 'batch_size', value: '512'},
        {key: 'ema', value: '0.9999'},
      ]),
    );
  });

  it('of the baseline are those of the student without the teacher', () => {
    const config = configOf({pretrain: {targets: 'soft', balanced: true, label_smoothing: 0}});
    const baseline: TrainedStep = {...pretraining, title: 'Supervised baseline', pseudo: false};
    const {different} = usedSettings(config, 32, [baseline, pretraining]);
    expect(different.map(({key, values}) => [key, ...values])).toEqual([
      ['targets', null, 'soft'],
      ['temperature', null, '1'],
      ['rest', null, 'spread'],
      ['balanced', null, 'true'],
      ['labelled_share', null, '0.375'],
    ]);
  });
});
