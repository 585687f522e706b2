import {describe, expect, it} from 'vitest';
import {didYouMean, nearKeys, nearNames, question} from '../src/did-you-mean.js';
import {stageNames} from '../src/events.js';
import {configKeys} from '../src/config/layers.js';

describe('a name that is unknown', () => {
  it.each([
    ['stauts', ['runs', 'status', 'report'], ' Did you mean status?'],
    ['labeled', ['labelled', 'unlabelled'], ' Did you mean labelled?'],
    ['appel', ['pear', 'apple'], ' Did you mean apple?'],
    ['Apple', ['pear', 'apple'], ' Did you mean apple?'],
    ['pretrian', stageNames, ' Did you mean pretrain?'],
    ['eval', stageNames, ' Did you mean evaluate?'],
    ['zebra', ['apple', 'pear'], ''],
    ['ab', ['cd'], ''],
    ['anything', [], ''],
  ])('%s among %j', (given, known, words) => expect(didYouMean(given, known)).toBe(words));

  it('has the nearest first', () =>
    expect(nearNames('train', ['strain', 'pretrain', 'train'])).toEqual(['train', 'strain']));
});

describe('a key that is unknown', () => {
  it.each([
    ['trian.batch_size', ' Did you mean train.batch_size?'],
    ['trian.epochs', ' Did you mean pretrain.epochs, teacher.epochs or finetune.epochs?'],
    ['train.epochs', ' Did you mean pretrain.epochs, teacher.epochs or finetune.epochs?'],
    ['epohcs', ' Did you mean teacher.epochs?'],
    ['select.topk', ' Did you mean select.top_k?'],
    ['topk', ' Did you mean select.top_k?'],
    ['top_k', ' Did you mean select.top_k?'],
    ['limits.max_failure', ' Did you mean limits.max_failures?'],
    ['labeled', ' Did you mean labelled?'],
    ['foo', ''],
  ])('%s', (given, words) => expect(question(nearKeys(given, configKeys()))).toBe(words));
});
