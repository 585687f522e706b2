/** The bridge from PyTorch to onnxruntime: the teacher as one ONNX file that is proved to give PyTorch's answers. */
import type {TaskResult} from '../children/protocol.js';
import type {Config} from '../config/schema.js';
import type {Calibration} from '../events.js';
import {productDigest} from '../pipeline/run.js';
import {percent} from '../words.js';
import {decodingOf, type StageContext} from './context.js';
import {defineStage, implied, keyed} from './define.js';
import {cameAsOnnx, imageSize, keptClasses} from './image-settings.js';
import {calibrationWords, exportOnnx, measureOnnx, type Exporting} from './onnx.js';
import {chooseScoringForm, scoringWords} from './scoring-form.js';
import {summaries} from './summaries.js';

export const exportTeacher = defineStage({
  name: 'export',
  version: 4,
  // Not the pool, of which a form is tried on a sample: when it grows, earlier scores stand, and so does their form.
  reads: ['prepare.validation', 'prepare.classes', 'teacher.model'],
  rows: {quarantine: ({quarantine}) => quarantine.digest('export')},
  ownRows: [{table: 'quarantine', where: "stage = 'export'"}],
  // A form that was tried on another pool, or another kind of device, is not known to do as well here.
  holds(summary, {device}, digestOf) {
    const {measured = [], pool, device: triedOn} = summaries.export.safeParse(summary).data?.scoring ?? {};
    const isSameKind = device === 'auto' || triedOn === kindOf(device);
    return measured.length === 0 || (pool === digestOf('prepare.pool') && isSameKind);
  },
  settings: (given, earlier) => ({
    precision: keyed('score.precision', given.config.score.precision),
    decode: keyed('score.decode', given.config.score.decode),
    kept: keptClasses(given, earlier),
    temperature: keyed('teacher.temperature', given.config.teacher.temperature),
    sizes: imageSize(given),
    // Which pictures it can decode, prepare found out.
    decoding: implied(decodingOf(given)),
    // The teacher's model tells which one it is; the rest is spoken of.
    teacher: implied(teacherFacts(given.config)),
    seed: implied(given.config.seed),
  }),

  async run(context, {precision: asked, decode: decoder, decoding, teacher, ...exporting}) {
    const exact = teacherOnnx(context);
    const {skipped, headline, ...exported} = teacher.cameAsOnnx
      ? await takeReadyMade(context, exact)
      : await exportTrained(context, exporting, teacher);
    const warning = guessingWarning(teacher, context.store.images.classes().length, exported);
    if (warning !== null) context.emit({type: 'warning', stage: 'export', message: warning});
    const scoring = await chooseScoringForm(
      context,
      {precision: asked, decode: decoder, decoding, kept: exporting.kept},
      {model: exact, top1: exported.top1},
    );
    const {precision, decode, measured} = scoring;
    return {
      outputs: [
        {name: 'onnx', files: [scoring.model]},
        ...(scoring.model === exact ? [] : [{name: 'exact', files: [exact]}]),
        ...(skipped ? [] : [{name: 'about', files: [context.paths.model('teacher', 'model.json')]}]),
        {name: 'calibration', digest: String(exported.fittedTemperature)},
      ],
      summary: {...exported, scoring: {precision, decode, measured, ...(measured.length > 0 && triedOn(context))}},
      headline: `${headline}${scoringWords(scoring)}`,
      ...(skipped && {status: 'skipped'}),
    };
  },
});

/** What a faster form was tried on, which no ingredient tells: see `holds`. */
const triedOn = ({store, device}: StageContext) => ({
  pool: productDigest(store, 'prepare.pool') ?? '',
  device: kindOf(device),
});

const kindOf = (device: string): string => device.split(':')[0]!;

const teacherFacts = (config: Config) => ({
  file: config.teacher.file,
  epochs: config.teacher.epochs,
  cameAsOnnx: cameAsOnnx(config),
});

interface TeacherInOnnx extends TaskResult<'measure'> {
  readonly calibration?: Calibration;
  readonly headline: string;
  /** Whether a file of the user's stood in for the work. */
  readonly skipped: boolean;
}

async function takeReadyMade(context: StageContext, wrapped: string): Promise<TeacherInOnnx> {
  const measured = await measureOnnx(context, {stage: 'export', model: wrapped, pack: 'validation', reference: null});
  return {
    ...measured,
    headline: `the teacher came as ONNX (${percent(measured.top1)} top-1 on validation)`,
    skipped: true,
  };
}

async function exportTrained(
  context: StageContext,
  exporting: Pick<Exporting, 'kept' | 'temperature' | 'sizes' | 'seed'>,
  {file}: {readonly file: string | null},
): Promise<TeacherInOnnx> {
  const exported = await exportOnnx(context, {stage: 'export', folder: 'teacher', ...exporting});
  const {largestDifference, top1Agreement, images, calibration, top1} = exported;
  const given = file === null ? '' : `; ${percent(top1)} top-1 on validation`;
  return {
    ...exported,
    headline: `PyTorch and onnxruntime agree: log-probabilities within ${largestDifference?.toPrecision(2)}, same best class for ${percent(top1Agreement ?? 0)} of ${images}${calibrationWords(calibration)}${given}`,
    skipped: false,
  };
}

/** The teacher as one ONNX file, in float32. What scores the pool may be another form of it: see scoringOnnx. */
export const teacherOnnx = ({paths}: StageContext): string => paths.model('teacher', 'model.onnx');

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
