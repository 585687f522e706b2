/** The bridge from PyTorch to onnxruntime: the teacher as one ONNX file that is proved to give PyTorch's answers. */
import type {TaskResult} from '../children/protocol.js';
import {classesKept} from '../config.js';
import type {Stage, StageResult} from '../pipeline/stage.js';
import {percent} from '../words.js';
import type {RunContext} from './context.js';
import {calibrationWords, exportOnnx, measureOnnx} from './onnx.js';
import {readyMadeOnnx} from './teacher.js';

export const exportTeacher: Stage<RunContext> = {
  name: 'export',
  version: 1,
  reads: ['prepare.validation', 'teacher.model'],
  ingredients({config, store, size, resize}) {
    return {
      'classes kept': String(classesKept(config, store.images.classes().length)),
      'teacher.temperature': String(config.teacher.temperature),
      'image.size': `${size} of ${resize}`,
    };
  },

  async run(context): Promise<StageResult> {
    const {config, paths} = context;
    if (readyMadeOnnx(context) !== null) {
      const wrapped = teacherOnnx(context);
      const measured = await measureOnnx(context, {stage: 'export', model: wrapped, pack: 'validation', reference: null});
      warnOfGuessing(context, measured);
      return {
        outputs: [{name: 'onnx', files: [wrapped]}],
        summary: measured,
        headline: `the teacher came as ONNX (${percent(measured.top1)} top-1 on validation)`,
        status: 'skipped',
      };
    }
    const exported = await exportOnnx(context, {stage: 'export', folder: 'teacher', temperature: config.teacher.temperature});
    warnOfGuessing(context, exported);
    return {
      outputs: [{name: 'onnx', files: [paths.model('teacher', 'model.onnx')]}],
      summary: exported,
      headline: `PyTorch and onnxruntime agree: log-probabilities within ${exported.largestDifference?.toPrecision(2)}, same best class for ${percent(exported.top1Agreement ?? 0)} of ${exported.images}${calibrationWords(exported.calibration)}${config.teacher.file === null ? '' : `; ${percent(exported.top1)} top-1 on validation`}`,
    };
  },
};

/** The ONNX file that scores the pool. */
export const teacherOnnx = ({paths}: RunContext): string => paths.model('teacher', 'model.onnx');

/** A teacher from elsewhere that was described wrongly still answers something: that it is right no more often than by chance is how it shows. */
function warnOfGuessing({config, store, emit}: RunContext, {top1, images}: TaskResult<'measure'>): void {
  const chance = 1 / store.images.classes().length;
  // Two standard errors: of teachers that only guess, 1 in 40 is taken for better.
  if (config.teacher.file === null || top1 > chance + 2 * Math.sqrt((chance * (1 - chance)) / images)) return;
  emit({
    type: 'warning',
    stage: 'export',
    message: `The teacher ${config.teacher.file} is right about ${percent(top1)} of the validation images; guessing would be about ${percent(chance)}. Check the order of teacher.classes, teacher.mean and teacher.std.`,
  });
}
