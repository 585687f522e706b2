/** Step 1 of the paper: a teacher learns from the labelled set, or a ready-made one is taken in its place. */
import {createHash} from 'node:crypto';
import {existsSync} from 'node:fs';
import {access, constants, readFile, stat} from 'node:fs/promises';
import {PROTOCOL, type TaskResult} from '../children/protocol.js';
import {isOnnxFile} from '../config/schema.js';
import {classesKept, trainingSettings} from '../config/rules.js';
import {UserError} from '../errors.js';
import {className} from '../images/class-name.js';
import {hashFile} from '../pipeline/stamp.js';
import type {Ingredients, Stage, StageResult} from '../pipeline/stage.js';
import {decodeText, NotText} from '../files/text.js';
import {percent} from '../words.js';
import type {RunContext} from './context.js';
import {runTrainer} from './tasks.js';
import {architectureOf, train, trainingIngredients, type Training} from './train.js';

/**
 * The teacher's file where it is a ready-made ONNX: PyTorch never sees its network, and models/RUN/teacher/ holds no
 * weights of it but in model.onnx.
 */
export const readyMadeOnnx = ({config}: RunContext): string | null =>
  config.teacher.file !== null && isOnnxFile(config.teacher.file) ? config.teacher.file : null;

/** `inputs`: digests of the training and the validation set. */
export const teacherTraining = (inputs: readonly string[]): Training => ({
  stage: 'teacher',
  part: '',
  step: 'teacher',
  folder: 'teacher',
  trainPack: 'train',
  init: null,
  inputs,
});

export const teacher: Stage<RunContext> = {
  name: 'teacher',
  version: 1,
  reads: ['prepare.train', 'prepare.validation', 'prepare.classes'],
  async ingredients(context): Promise<Ingredients> {
    const {config, store, size, resize, signal} = context;
    const {file, classes, model, mean, std, input, output, temperature} = config.teacher;
    if (file === null) return trainingIngredients(context, 'teacher');
    const shared = {
      'teacher.file': await hashFile(await existing(file), signal),
      'teacher.classes': createHash('sha256')
        .update(JSON.stringify(await classNames(classes)))
        .digest('hex'),
      'teacher.mean': String(mean),
      'teacher.std': String(std),
      'image.size': `${size} of ${resize}`,
    };
    if (!isOnnxFile(file)) return {...shared, 'teacher.model': model};
    // Where PyTorch's exporter puts the weights of an ONNX file unless it is told not to.
    const weights = `${file}.data`;
    return {
      ...shared,
      ...(existsSync(weights) && {'weights of teacher.file': await hashFile(weights, signal)}),
      // Not the stage's version, which would train other teachers again: since 2 every kind of answer ends in a
      // softmax.
      'form of the wrapped file': '2',
      'teacher.input': input,
      'teacher.output': output,
      'teacher.temperature': String(temperature),
      'classes kept': String(classesKept(config, store.images.classes().length)),
    };
  },

  async run(context, ingredients): Promise<StageResult> {
    const {config, paths} = context;
    const {file} = config.teacher;
    if (file === null) {
      const result = await train(
        context,
        teacherTraining([ingredients['prepare.train']!, ingredients['prepare.validation']!]),
      );
      return {
        outputs: [{name: 'model', files: [paths.model('teacher', 'model.safetensors')]}],
        summary: result,
        headline: `${percent(result.top1)} top-1 on validation, epoch ${result.bestEpoch} of ${result.epochs} kept`,
      };
    }
    if (isOnnxFile(file)) {
      const taken = await wrapOnnx(context, file);
      const words = taken.input === null ? '' : `: ${taken.input} pixels in, ${taken.answer?.replace('_', '-')} out`;
      return {
        outputs: [{name: 'model', files: [paths.model('teacher', 'model.onnx')]}],
        summary: {file, ...taken},
        headline: `${file} stands in for it${words}`,
        status: 'skipped',
      };
    }
    await importWeights(context, file);
    return {
      outputs: [{name: 'model', files: [paths.model('teacher', 'model.safetensors')]}],
      summary: {file},
      headline: `${file} stands in for it`,
      status: 'skipped',
    };
  },
};

async function importWeights(context: RunContext, file: string): Promise<TaskResult<'import'>> {
  const {config, paths, device, threads} = context;
  const {classes, mean, std} = config.teacher;
  return await runTrainer<'import'>(
    context,
    {
      protocol: PROTOCOL,
      task: 'import',
      device,
      threads,
      seed: config.seed,
      file,
      architecture: architectureOf(context, trainingSettings(config, 'teacher', context.size)),
      fileClasses: await classNames(classes),
      mean,
      std,
      output: paths.model('teacher', 'model.safetensors'),
    },
    {stage: 'teacher', part: '', limit: timeFor(file)},
  );
}

async function wrapOnnx(context: RunContext, file: string): Promise<TaskResult<'wrap'>> {
  const {config, paths, store, device, threads, size, resize} = context;
  const {classes, mean, std, input, output, temperature} = config.teacher;
  if (temperature === 'fit')
    throw new UserError(
      'BAD_CONFIG',
      `teacher.temperature is fit, which needs the weights in PyTorch; ${file} is ONNX. Give a number, or leave it out.`,
    );
  const labels = store.images.classes();
  return await runTrainer<'wrap'>(
    context,
    {
      protocol: PROTOCOL,
      task: 'wrap',
      device,
      threads,
      seed: config.seed,
      file,
      size,
      resize,
      classes: labels,
      fileClasses: await classNames(classes),
      mean,
      std,
      input,
      answer: output,
      temperature,
      kept: classesKept(config, labels.length),
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
