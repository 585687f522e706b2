/** Step 4 of the paper: the pre-trained student is fine-tuned, gently, on the labelled set alone, and exported. */
import type {TaskResult} from '../children/protocol.js';
import type {Stage, StageResult} from '../pipeline/stage.js';
import {percent} from '../words.js';
import {classesKept} from '../config/rules.js';
import type {RunContext} from './context.js';
import {calibrationWords, exportOnnx} from './onnx.js';
import {train, trainingIngredients} from './train.js';

export const finetune: Stage<RunContext> = {
  name: 'finetune',
  version: 2,
  reads: ['pretrain.model', 'prepare.train', 'prepare.validation'],
  ingredients: context => ({
    ...trainingIngredients(context, 'finetune'),
    'classes kept': String(classesKept(context.config, context.store.images.classes().length)),
    'student.temperature': String(context.config.student.temperature),
  }),

  async run(context, ingredients): Promise<StageResult> {
    const {paths} = context;
    const result = await train(context, {
      stage: 'finetune',
      part: '',
      step: 'finetune',
      folder: 'student',
      trainPack: 'train',
      init: paths.model('pretrained', 'model.safetensors'),
      inputs: [ingredients['pretrain.model']!, ingredients['prepare.train']!, ingredients['prepare.validation']!],
    });
    if (result.bestEpoch === 0) {
      context.emit({
        type: 'warning',
        stage: 'finetune',
        message:
          'Fine-tuning did not help: on validation the pre-trained student was the better one, so it was kept as it was. A lower finetune.learning_rate may do.',
      });
    }
    // One standard error below the best still counts as good, and then a later epoch is taken.
    const before = (context.store.stages.read('pretrain')?.summary as TaskResult<'train'> | undefined)?.top1 ?? 0;
    if (result.bestEpoch > 0 && result.top1 < before) {
      context.emit({
        type: 'note',
        stage: 'finetune',
        message: `Fine-tuning went from ${percent(before)} to ${percent(result.top1)} on validation, which so few pictures do not tell apart`,
      });
    }
    const {calibration, ...parity} = await exportOnnx(context, {
      stage: 'finetune',
      folder: 'student',
      temperature: context.config.student.temperature,
    });
    return {
      outputs: [
        {name: 'model', files: [paths.model('student', 'model.safetensors')]},
        {name: 'onnx', files: [paths.model('student', 'model.onnx'), paths.model('student', 'model.json')]},
      ],
      summary: {...result, parity, calibration},
      headline: `${percent(result.top1)} top-1 on validation; exported as ONNX${calibrationWords(calibration)}`,
    };
  },
};
