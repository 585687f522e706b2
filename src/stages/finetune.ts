/** Step 4 of the paper: the pre-trained student is fine-tuned, gently, on the labelled set alone, and exported. */
import {percent} from '../words.js';
import {defineStage, keyed} from './define.js';
import {keptClasses} from './image-settings.js';
import {calibrationWords, exportOnnx} from './onnx.js';
import {requireSummary} from './summaries.js';
import {lengthOf, stepSettings, train} from './train.js';

export const finetune = defineStage({
  name: 'finetune',
  version: 2,
  reads: ['pretrain.model', 'prepare.train', 'prepare.validation'],
  settings: (given, earlier) => ({
    step: stepSettings(given, 'finetune'),
    kept: keptClasses(given, earlier),
    temperature: keyed('student.temperature', given.config.student.temperature),
  }),

  async run(context, {step, kept, temperature}, ingredients) {
    const {paths} = context;
    const result = await train(context, {
      stage: 'finetune',
      part: '',
      settings: step,
      folder: 'student',
      trainPack: 'train',
      init: paths.model('pretrained', 'model.safetensors'),
      inputs: [ingredients['pretrain.model'], ingredients['prepare.train'], ingredients['prepare.validation']],
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
    const before = requireSummary(context.store, 'pretrain').top1;
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
      temperature,
      kept,
      seed: step.seed,
      sizes: step.sizes,
    });
    return {
      outputs: [
        {name: 'model', files: [paths.model('student', 'model.safetensors')]},
        {name: 'length', digest: lengthOf(result)},
        {name: 'onnx', files: [paths.model('student', 'model.onnx'), paths.model('student', 'model.json')]},
      ],
      summary: {...result, parity, calibration},
      headline: `${percent(result.top1)} top-1 on validation; exported as ONNX${calibrationWords(calibration)}`,
    };
  },
});
