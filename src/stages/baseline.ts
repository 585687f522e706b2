/**
 * The fair baseline: the student's net, from scratch, on the labels alone, for as many steps as the student had in both
 * of its trainings, to the nearest epoch. A gain over a teacher that was trained for less is no gain.
 */
import {plainLabels} from '../config/rules.js';
import {percent} from '../words.js';
import type {RunContext} from './context.js';
import {defineStage, told, type Setting} from './define.js';
import {requireSummary} from './summaries.js';
import {recipeOf, train, type StepSettings} from './train.js';
import {epochsOf} from './training-length.js';

/** As the student is pre-trained; how long follows from pretrain.length and finetune.length. Null where none is asked for. */
function baselineSetting(given: RunContext): Setting<StepSettings | null> {
  const isAsked = {'evaluate.baseline': String(given.config.evaluate.baseline)};
  if (!given.config.evaluate.baseline) return told(null, isAsked);
  const {value, ingredients} = recipeOf(given, 'pretrain');
  return told({...value, labels: plainLabels}, {...isAsked, ...ingredients});
}

export const baseline = defineStage({
  name: 'baseline',
  version: 1,
  reads: ['prepare.train', 'prepare.validation', 'prepare.classes', 'pretrain.length', 'finetune.length'],
  settings: given => ({step: baselineSetting(given)}),

  async run(context, {step}, ingredients) {
    if (step === null)
      return {
        outputs: [{name: 'model', digest: 'none was asked for'}],
        summary: {wasAskedFor: false},
        headline: 'none was asked for (evaluate.baseline)',
        status: 'skipped',
      };
    const {store, paths} = context;
    const pretrained = requireSummary(store, 'pretrain');
    const steps = pretrained.steps + requireSummary(store, 'finetune').steps;
    const result = await train(context, {
      stage: 'baseline',
      part: '',
      settings: step,
      folder: 'supervised',
      trainPack: 'train',
      init: null,
      epochs: epochsOf(steps, store.images.splitSize('train'), pretrained.batchSize),
      batchSize: pretrained.batchSize,
      inputs: [ingredients['prepare.train'], ingredients['prepare.validation']],
    });
    return {
      outputs: [{name: 'model', files: [paths.model('supervised', 'model.safetensors')]}],
      summary: result,
      headline: `${percent(result.top1)} top-1 on validation, epoch ${result.bestEpoch} of ${result.epochs} kept`,
    };
  },
});
