/** Step 1 of the paper: a teacher learns from the labelled set, or a ready-made one is taken in its place. */
import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {access, constants, readFile, stat} from 'node:fs/promises';
import {PROTOCOL, type TaskOf, type TaskResult} from '../children/protocol.js';
import {isOnnxFile} from '../config/schema.js';
import {trainingSettings} from '../config/rules.js';
import {UserError} from '../errors.js';
import {className} from '../images/class-name.js';
import {hashFile} from '../pipeline/file-hash.js';
import type {Earlier} from '../pipeline/stage.js';
import {decodeText, NotText} from '../files/text.js';
import {percent} from '../words.js';
import type {RunContext, StageContext} from './context.js';
import {defineStage, told, type Setting} from './define.js';
import {imageSize, keptClasses, type ImageSizes} from './image-settings.js';
import {runTrainer} from './tasks.js';
import {architectureOf, stepSettings, train, type StepSettings, type Training} from './train.js';

/** `inputs`: digests of the training and the validation set. */
export const teacherTraining = (settings: StepSettings, inputs: readonly string[]): Training => ({
  stage: 'teacher',
  part: '',
  settings,
  folder: 'teacher',
  trainPack: 'train',
  init: null,
  inputs,
});

interface GivenFile {
  readonly file: string;
  /** Names of its outputs, in their order; null: those in its metadata. */
  readonly classes: readonly string[] | null;
  readonly mean: readonly number[] | null;
  readonly std: readonly number[] | null;
  readonly sizes: ImageSizes;
  readonly seed: number;
}
/** Weights for a network of ours. */
interface GivenWeights extends GivenFile {
  readonly from: 'weights';
  readonly network: Pick<StepSettings['training'], 'model' | 'stem'>;
}
interface GivenOnnx extends GivenFile {
  readonly from: 'onnx';
  readonly input: TaskOf<'wrap'>['input'];
  readonly answer: TaskOf<'wrap'>['answer'];
  readonly temperature: number | 'fit';
  readonly kept: number;
}
type Origin = {readonly from: 'labels'; readonly step: StepSettings} | GivenWeights | GivenOnnx;

/** Where the teacher comes from: it is trained, or made of a file. */
async function originOf(given: RunContext, earlier: Earlier): Promise<Setting<Origin>> {
  const {config, size, resize, signal} = given;
  const {file, classes, model, mean, std, input, output, temperature} = config.teacher;
  if (file === null) {
    const step = stepSettings(given, 'teacher');
    return told({from: 'labels', step: step.value}, step.ingredients);
  }
  const sizes = imageSize({size, resize});
  const names = await classNames(classes);
  const ofFile = {file, classes: names, mean, std, sizes: sizes.value, seed: config.seed};
  const ingredients = {
    'teacher.file': await hashFile(await existing(file), signal),
    'teacher.classes': createHash('sha256').update(JSON.stringify(names)).digest('hex'),
    'teacher.mean': String(mean),
    'teacher.std': String(std),
    ...sizes.ingredients,
  };
  if (!isOnnxFile(file)) {
    const network = trainingSettings(config, 'teacher', size);
    return told({...ofFile, from: 'weights', network}, {...ingredients, 'teacher.model': model});
  }
  // Where PyTorch's exporter puts the weights of an ONNX file unless it is told not to.
  const weights = `${file}.data`;
  const kept = keptClasses(given, earlier);
  return told(
    {...ofFile, from: 'onnx', input, answer: output, temperature, kept: kept.value},
    {
      ...ingredients,
      ...(existsSync(weights) && {'weights of teacher.file': await hashFile(weights, signal)}),
      // Not the stage's version, which would train other teachers again: since 2 every kind of answer ends in a
      // softmax.
      'form of the wrapped file': '2',
      'teacher.input': input,
      'teacher.output': output,
      'teacher.temperature': String(temperature),
      ...kept.ingredients,
    },
  );
}

export const teacher = defineStage({
  name: 'teacher',
  version: 1,
  reads: ['prepare.train', 'prepare.validation', 'prepare.classes'],
  settings: async (given, earlier) => ({origin: await originOf(given, earlier)}),

  async run(context, {origin}, ingredients) {
    const {paths} = context;
    switch (origin.from) {
      case 'labels': {
        const inputs = [ingredients['prepare.train'], ingredients['prepare.validation']];
        const result = await train(context, teacherTraining(origin.step, inputs));
        return {
          outputs: [{name: 'model', files: [paths.model('teacher', 'model.safetensors')]}],
          summary: result,
          headline: `${percent(result.top1)} top-1 on validation, epoch ${result.bestEpoch} of ${result.epochs} kept`,
        };
      }
      case 'onnx': {
        const {file} = origin;
        const taken = await wrapOnnx(context, origin);
        const words = taken.input === null ? '' : `: ${taken.input} pixels in, ${taken.answer?.replace('_', '-')} out`;
        return {
          outputs: [{name: 'model', files: [paths.model('teacher', 'model.onnx')]}],
          summary: {file, ...taken},
          headline: `${file} stands in for it${words}`,
          status: 'skipped',
        };
      }
      case 'weights': {
        const {file} = origin;
        await importWeights(context, origin);
        return {
          outputs: [{name: 'model', files: [paths.model('teacher', 'model.safetensors')]}],
          summary: {file},
          headline: `${file} stands in for it`,
          status: 'skipped',
        };
      }
    }
  },
});

async function importWeights(
  context: StageContext,
  {file, classes, mean, std, sizes, seed, network}: GivenWeights,
): Promise<TaskResult<'import'>> {
  const {paths, device, threads} = context;
  return await runTrainer<'import'>(
    context,
    {
      protocol: PROTOCOL,
      task: 'import',
      device,
      threads,
      seed,
      file,
      architecture: architectureOf(context, sizes, network),
      fileClasses: classes && [...classes],
      mean: mean && [...mean],
      std: std && [...std],
      output: paths.model('teacher', 'model.safetensors'),
    },
    {stage: 'teacher', part: '', limit: timeFor(file)},
  );
}

async function wrapOnnx(
  context: StageContext,
  {file, classes, mean, std, sizes: {size, resize}, seed, input, answer, temperature, kept}: GivenOnnx,
): Promise<TaskResult<'wrap'>> {
  const {paths, store, device, threads} = context;
  if (temperature === 'fit')
    throw new UserError(
      'BAD_CONFIG',
      `teacher.temperature is fit, which needs the weights in PyTorch; ${file} is ONNX. Give a number, or leave it out.`,
    );
  return await runTrainer<'wrap'>(
    context,
    {
      protocol: PROTOCOL,
      task: 'wrap',
      device,
      threads,
      seed,
      file,
      size,
      resize,
      classes: store.images.classes(),
      fileClasses: classes && [...classes],
      mean: mean && [...mean],
      std: std && [...std],
      input,
      answer,
      temperature,
      kept,
      output: paths.model('teacher', 'model.onnx'),
    },
    {stage: 'teacher', part: '', limit: timeFor(file)},
  );
}

/**
 * Reading a model takes seconds to minutes, whatever else the machine does; one that is made to keep a reader busy
 * takes for ever.
 */
const MINUTES = 30;
const timeFor = (file: string) => ({
  seconds: MINUTES * 60,
  message: `${file} could not be taken in within ${MINUTES} minutes, and is given up. Expected a file that a training program wrote: export it again.`,
});

async function existing(file: string): Promise<string> {
  if (!/\.(safetensors|pt|pth|th|ckpt|pth\.tar|onnx)$/i.test(file))
    throw new UserError(
      'BAD_TEACHER',
      `${file} is no model that can stand in for the teacher. Expected .safetensors, .pt, .pth or .onnx.`,
    );
  try {
    await access(file, constants.R_OK);
    // Opening a pipe would wait for whoever fills it.
    if (!(await stat(file)).isFile()) throw new Error('it is no file');
  } catch (cause) {
    throw new UserError(
      'BAD_TEACHER',
      `Cannot read the teacher ${file}: ${cause instanceof Error ? cause.message : String(cause)}`,
      {cause},
    );
  }
  return file;
}

/** `teacher.classes`: a list, or the path of a text file with one name a line. */
async function classNames(given: string | readonly string[] | null): Promise<string[] | null> {
  if (given === null) return null;
  if (typeof given !== 'string') return given.map(name => className(name, 'teacher.classes'));
  try {
    const lines = decodeText(await readFile(given))
      .trimEnd()
      .split(/\r?\n/);
    const blank = lines.findIndex(line => line.trim() === '');
    // Without it, every name behind it would be that of the output before.
    if (blank !== -1)
      throw new UserError(
        'BAD_TEACHER',
        `Line ${blank + 1} of teacher.classes ${given} is blank. Expected a name on each line, in the order of the file's outputs.`,
      );
    return lines.map(line => className(line, `teacher.classes ${given}`));
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    if (cause instanceof NotText)
      throw new UserError('BAD_TEACHER', `teacher.classes ${given}: ${cause.message}`, {cause});
    throw new UserError(
      'BAD_TEACHER',
      `Cannot read teacher.classes ${given}: ${cause instanceof Error ? cause.message : String(cause)}. Expected a list of names, or a text file with one a line.`,
      {cause},
    );
  }
}
