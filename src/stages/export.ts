/** The bridge from PyTorch to onnxruntime: the teacher as one ONNX file that is proved to give PyTorch's answers. */
import type {TaskResult} from '../children/protocol.js';
import {classesKept} from '../config/rules.js';
import type {Calibration} from '../events.js';
import type {Stage, StageResult} from '../pipeline/stage.js';
import {percent} from '../words.js';
import type {RunContext} from './context.js';
import {calibrationWords, exportOnnx, measureOnnx} from './onnx.js';
import {chooseScoringForm, scoringWords} from './scoring-form.js';
import {readyMadeOnnx} from './teacher.js';

/** What later stages read of this one's summary. */
export type ExportSummary = Pick<TaskResult<'measure'>, 'fittedTemperature'>;

export const exportTeacher: Stage<RunContext> = {
  name: 'export',
  version: 4,
  // Not the pool, of which a form is tried on a sample: when it grows, earlier scores stand, and so does their form.
  reads: ['prepare.validation', 'prepare.classes', 'teacher.model'],
  rows: {quarantine: ({quarantine}) => quarantine.digest('export')},
  ingredients({config, store, size, resize}) {
    return {
      'score.precision': config.score.precision,
      'score.decode': config.score.decode,
      'classes kept': String(classesKept(config, store.images.classes().length)),
      'teacher.temperature': String(config.teacher.temperature),
      'image.size': `${size} of ${resize}`,
    };
  },

  async run(context): Promise<StageResult> {
    const exact = teacherOnnx(context);
    const {skipped, headline, ...exported} =
      readyMadeOnnx(context) === null ? await exportTrained(context) : await takeReadyMade(context, exact);
    const warning = guessingWarning(context.config.teacher, context.store.images.classes().length, exported);
    if (warning !== null) context.emit({type: 'warning', stage: 'export', message: warning});
    const scoring = await chooseScoringForm(context, {model: exact, top1: exported.top1});
    const {precision, decode, measured} = scoring;
    return {
      outputs: [
        {name: 'onnx', files: [scoring.model]},
        ...(scoring.model === exact ? [] : [{name: 'exact', files: [exact]}]),
        ...(skipped ? [] : [{name: 'about', files: [context.paths.model('teacher', 'model.json')]}]),
        {name: 'calibration', digest: String(exported.fittedTemperature)},
      ],
      summary: {...exported, scoring: {precision, decode, measured}},
      headline: `${headline}${scoringWords(scoring)}`,
      ...(skipped && {status: 'skipped'}),
    };
  },
};

interface TeacherInOnnx extends TaskResult<'measure'> {
  readonly calibration?: Calibration;
  readonly headline: string;
  /** Whether a file of the user's stood in for the work. */
  readonly skipped: boolean;
}

async function takeReadyMade(context: RunContext, wrapped: string): Promise<TeacherInOnnx> {
  const measured = await measureOnnx(context, {stage: 'export', model: wrapped, pack: 'validation', reference: null});
  return {
    ...measured,
    headline: `the teacher came as ONNX (${percent(measured.top1)} top-1 on validation)`,
    skipped: true,
  };
}

async function exportTrained(context: RunContext): Promise<TeacherInOnnx> {
  const {config} = context;
  const exported = await exportOnnx(context, {
    stage: 'export',
    folder: 'teacher',
    temperature: config.teacher.temperature,
  });
  const {largestDifference, top1Agreement, images, calibration, top1} = exported;
  const given = config.teacher.file === null ? '' : `; ${percent(top1)} top-1 on validation`;
  return {
    ...exported,
    headline: `PyTorch and onnxruntime agree: log-probabilities within ${largestDifference?.toPrecision(2)}, same best class for ${percent(top1Agreement ?? 0)} of ${images}${calibrationWords(calibration)}${given}`,
    skipped: false,
  };
}

/** The teacher as one ONNX file, in float32. What scores the pool may be another form of it: see scoringOnnx. */
export const teacherOnnx = ({paths}: RunContext): string => paths.model('teacher', 'model.onnx');

/**
 * A teacher that learnt nothing, or was described wrongly, still answers something: that it is right no more often than
 * by chance is how it shows. Null where it is better.
 */
export function guessingWarning(
  {file, epochs}: {readonly file: string | null; readonly epochs: number},
  classes: number,
  {top1, images}: {readonly top1: number; readonly images: number},
): string | null {
  const chance = 1 / classes;
  // Two standard errors: of teachers that only guess, 1 in 40 is taken for better.
  if (top1 > chance + 2 * Math.sqrt((chance * (1 - chance)) / images)) return null;
  const advice =
    file === null
      ? `It has learnt nothing that can be used: raise teacher.epochs (${epochs}), try another teacher.learning_rate, and check that the labels are right.`
      : 'Check the order of teacher.classes, teacher.mean and teacher.std.';
  return `The teacher${file === null ? '' : ` ${file}`} is right about ${percent(top1)} of the validation images; guessing would be about ${percent(chance)}. ${advice}`;
}
