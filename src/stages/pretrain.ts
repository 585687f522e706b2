/** Step 3 of the paper: the student learns from the selected images as if the teacher's classes were labels. */
import type {Stage, StageResult} from '../pipeline/stage.js';
import {percent} from '../words.js';
import type {RunContext} from './context.js';
import {pretrainingEpochs} from './pretrain-length.js';
import {recordedSelection} from './select.js';
import {train, trainingIngredients} from './train.js';

export const pretrain: Stage<RunContext> = {
  name: 'pretrain',
  version: 3,
  // The labelled set too, which may have a share in each batch.
  reads: ['select.selected', 'prepare.train', 'prepare.validation'],
  ingredients: context => trainingIngredients(context, 'pretrain'),

  async run(context, ingredients): Promise<StageResult> {
    const {config, store, size} = context;
    const labelled = store.images
      .splitCounts('train', store.images.classes().length)
      .reduce((sum, images) => sum + images, 0);
    const result = await train(context, {
      stage: 'pretrain',
      part: '',
      step: 'pretrain',
      folder: 'pretrained',
      trainPack: 'selected',
      pseudo: true,
      init: null,
      epochs: pretrainingEpochs(config, {samples: recordedSelection(store)!.selected, labelled, size}),
      inputs: [ingredients['select.selected']!, ingredients['prepare.train']!, ingredients['prepare.validation']!],
    });
    return {
      outputs: [{name: 'model', files: [context.paths.model('pretrained', 'model.safetensors')]}],
      summary: result,
      headline: `${percent(result.top1)} top-1 on validation before fine-tuning`,
    };
  },
};
