/** Step 1 of the paper: a teacher learns from the labelled set, or a ready-made one is taken in its place. */
import {createHash} from 'node:crypto';
import {access, constants, copyFile, readFile} from 'node:fs/promises';
import {PROTOCOL} from '../children/protocol.js';
import {trainingSettings} from '../config.js';
import {dataError} from '../errors.js';
import {hashFile} from '../pipeline/stamp.js';
import type {Ingredients, Stage, StageResult} from '../pipeline/stage.js';
import {publishFile} from '../publish.js';
import {percent} from '../words.js';
import {runTrainer, type RunContext} from './context.js';
import {architectureOf, train, trainingIngredients} from './train.js';

const isOnnx = (file: string): boolean => file.toLowerCase().endsWith('.onnx');

/** The teacher's file where it is a ready-made ONNX: it is scored with as it is, and PyTorch never sees it. */
export const readyMadeOnnx = ({config}: RunContext): string | null => (config.teacher.file !== null && isOnnx(config.teacher.file) ? config.teacher.file : null);

export const teacher: Stage<RunContext> = {
  name: 'teacher',
  version: 1,
  reads: ['prepare.train', 'prepare.validation', 'prepare.classes'],
  async ingredients(context): Promise<Ingredients> {
    const {file, classes} = context.config.teacher;
    if (file === null) return trainingIngredients(context, 'teacher');
    return {
      'teacher.file': await hashFile(await existing(file), context.signal),
      'teacher.classes': createHash('sha256').update(JSON.stringify(await classNames(classes))).digest('hex'),
      'teacher.model': isOnnx(file) ? 'onnx' : context.config.teacher.model,
      'image.size': `${context.size} of ${context.resize}`,
    };
  },

  async run(context, ingredients): Promise<StageResult> {
    const {config, paths} = context;
    const {file} = config.teacher;
    if (file === null) {
      const result = await train(context, {
        stage: 'teacher',
        part: '',
        step: 'teacher',
        folder: 'teacher',
        trainPack: 'train',
        init: null,
        inputs: [ingredients['prepare.train']!, ingredients['prepare.validation']!],
      });
      return {
        outputs: [{name: 'model', files: [paths.model('teacher', 'model.safetensors')]}],
        summary: result,
        headline: `${percent(result.top1)} top-1 on validation, epoch ${result.bestEpoch} of ${result.epochs} kept`,
      };
    }
    const taken = paths.model('teacher', isOnnx(file) ? 'given.onnx' : 'model.safetensors');
    if (isOnnx(file)) await publishFile(taken, temporary => copyFile(file, temporary));
    else {
      await runTrainer<'import'>(
        context,
        {
          protocol: PROTOCOL,
          task: 'import',
          device: context.device,
          threads: context.threads,
          seed: config.seed,
          file,
          architecture: architectureOf(context, trainingSettings(config, 'teacher', context.size)),
          fileClasses: await classNames(config.teacher.classes),
          mean: config.teacher.mean,
          std: config.teacher.std,
          output: taken,
        },
        {stage: 'teacher', part: ''},
      );
    }
    return {outputs: [{name: 'model', files: [taken]}], summary: {file}, headline: `${file} stands in for it`, status: 'skipped'};
  },
};

async function existing(file: string): Promise<string> {
  if (!/\.(safetensors|pt|pth|onnx)$/i.test(file)) throw dataError(`${file} is no model that can stand in for the teacher. Expected .safetensors, .pt, .pth or .onnx.`);
  try {
    await access(file, constants.R_OK);
  } catch (cause) {
    throw dataError(`Cannot read the teacher ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, {cause});
  }
  return file;
}

/** `teacher.classes`: a list, or the path of a text file with one name a line. */
async function classNames(given: string | readonly string[] | null): Promise<string[] | null> {
  if (given === null) return null;
  if (typeof given !== 'string') return [...given];
  try {
    return (await readFile(given, 'utf8')).split(/\r?\n/).filter(line => line !== '');
  } catch (cause) {
    throw dataError(`Cannot read teacher.classes ${given}: ${cause instanceof Error ? cause.message : String(cause)}. Expected a list of names, or a text file with one a line.`, {cause});
  }
}
