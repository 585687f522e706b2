/** The bridge from PyTorch to onnxruntime: the teacher as one ONNX file that is proved to give PyTorch's answers. */
import {classesKept} from '../config.js';
import type {Stage, StageResult} from '../pipeline/stage.js';
import {percent} from '../words.js';
import type {RunContext} from './context.js';
import {exportOnnx, measureOnnx} from './onnx.js';
import {readyMadeOnnx} from './teacher.js';

export const exportTeacher: Stage<RunContext> = {
  name: 'export',
  version: 1,
  reads: ['prepare.validation', 'teacher.model'],
  ingredients({config, store, size, resize}) {
    return {'classes kept': String(classesKept(config, store.images.classes().length)), 'image.size': `${size} of ${resize}`};
  },

  async run(context): Promise<StageResult> {
    const {paths} = context;
    if (readyMadeOnnx(context) !== null) {
      const given = paths.model('teacher', 'given.onnx');
      const measured = await measureOnnx(context, {stage: 'export', model: given, pack: 'validation', reference: null});
      return {
        outputs: [{name: 'onnx', files: [given]}],
        summary: measured,
        headline: `the teacher came as ONNX (${percent(measured.top1)} top-1 on validation)`,
        status: 'skipped',
      };
    }
    const parity = await exportOnnx(context, {stage: 'export', folder: 'teacher'});
    return {
      outputs: [{name: 'onnx', files: [paths.model('teacher', 'model.onnx')]}],
      summary: parity,
      headline: `PyTorch and onnxruntime agree: log-probabilities within ${parity.largestDifference?.toPrecision(2)}, same best class for ${percent(parity.top1Agreement ?? 0)} of ${parity.images}`,
    };
  },
};

/** The ONNX file that scores the pool. */
export const teacherOnnx = (context: RunContext): string => context.paths.model('teacher', readyMadeOnnx(context) === null ? 'model.onnx' : 'given.onnx');
