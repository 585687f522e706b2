/** Step 3 of the paper: the student learns from the selected images as if the teacher's classes were labels. */
import {percent} from '../words.js';
import type {RunContext} from './context.js';
import {defineStage, told, type Setting} from './define.js';
import {lengthSettings, pretrainingEpochs, type LengthSettings} from './training-length.js';
import {requireSummary} from './summaries.js';
import {lengthOf, stepSettings, train} from './train.js';

/** Its other parts are told with the settings of the step. */
function lengthSetting({config, size}: RunContext): Setting<LengthSettings> {
  const length = lengthSettings(config, size);
  const {epochs, batchSize, teacher} = length;
  return told(
    length,
    epochs === null && teacher.batchSize !== batchSize ? {'batch_size of the teacher': String(teacher.batchSize)} : {},
  );
}

export const pretrain = defineStage({
  name: 'pretrain',
  version: 3,
  // The labelled set too, which may have a share in each batch.
  reads: ['select.selected', 'prepare.train', 'prepare.validation'],
  settings: given => ({step: stepSettings(given, 'pretrain'), length: lengthSetting(given)}),

  async run(context, {step, length}, ingredients) {
    const {store} = context;
    const result = await train(context, {
      stage: 'pretrain',
      part: '',
      settings: step,
      folder: 'pretrained',
      trainPack: 'selected',
      init: null,
      epochs: pretrainingEpochs(length, {
        samples: requireSummary(store, 'select').selected,
        labelled: store.images.splitSize('train'),
      }),
      inputs: [ingredients['select.selected'], ingredients['prepare.train'], ingredients['prepare.validation']],
    });
    return {
      outputs: [
        {name: 'model', files: [context.paths.model('pretrained', 'model.safetensors')]},
        {name: 'length', digest: lengthOf(result)},
      ],
      summary: result,
      headline: `${percent(result.top1)} top-1 on validation before fine-tuning`,
    };
  },
});
