/** The verdict: the test set is read here and nowhere else, once, for the teacher, both students and the equal-step baseline. */
import {PROTOCOL} from '../children/protocol.js';
import type {Accuracy, Results} from '../events.js';
import {publishFile} from '../publish.js';
import {writeFile} from 'node:fs/promises';
import type {Stage, StageResult} from '../pipeline/stage.js';
import {percent} from '../words.js';
import {runTrainer, type RunContext} from './context.js';
import {measureOnnx} from './onnx.js';
import {readyMadeOnnx} from './teacher.js';
import {train, trainingIngredients} from './train.js';

export interface EvaluateSummary {
  readonly results: Results;
  /** Where the accuracies come from: the test set, or validation where none was given. */
  readonly set: 'test' | 'validation';
  readonly images: number;
  /** Steps of the student in both its trainings, and of the baseline. */
  readonly steps: {readonly student: number; readonly supervised: number} | null;
  /** The epoch of the baseline whose weights were kept; null without a baseline. */
  readonly baselineEpoch: number | null;
}

export const evaluate: Stage<RunContext> = {
  name: 'evaluate',
  version: 1,
  reads: ['prepare.train', 'prepare.validation', 'prepare.test', 'teacher.model', 'pretrain.model', 'finetune.model'],
  ingredients(context) {
    const {config} = context;
    if (!config.evaluate.baseline) return {'evaluate.baseline': 'false'};
    return {'evaluate.baseline': 'true', ...trainingIngredients(context, 'pretrain'), 'finetune.epochs': String(config.finetune.epochs)};
  },

  async run(context, ingredients): Promise<StageResult> {
    const {config, paths, store, emit, device, threads} = context;
    const set = config.test === null ? 'validation' : 'test';
    if (set === 'validation') {
      emit({type: 'warning', stage: 'evaluate', message: 'No test set was given (--test): these are validation accuracies, on which epochs were chosen, so they flatter.'});
    }
    const baseline = config.evaluate.baseline ? await trainBaseline(context, [ingredients['prepare.train']!, ingredients['prepare.validation']!]) : null;
    const model = (folder: string) => paths.model(folder, 'model.safetensors');
    const models = [
      ...(readyMadeOnnx(context) === null ? [{name: 'teacher', model: model('teacher')}] : []),
      ...(baseline === null ? [] : [{name: 'supervised', model: model('supervised')}]),
      {name: 'student_pretrained', model: model('pretrained')},
      {name: 'student', model: model('student')},
    ];
    const evaluated = await runTrainer<'evaluate'>(
      context,
      {protocol: PROTOCOL, task: 'evaluate', device, threads, seed: config.seed, models, pack: paths.pack(set), batchSize: config.train.batch_size},
      {stage: 'evaluate', part: set},
    );
    const of = (name: string): Accuracy | null => {
      const found = evaluated.models.find(candidate => candidate.name === name);
      return found ? {top1: found.top1, top5: found.top5} : null;
    };
    const results: Results = {
      teacher: of('teacher') ?? (await evaluateGiven(context, set)),
      supervised: of('supervised'),
      studentPretrained: of('student_pretrained'),
      student: of('student'),
    };
    const summary: EvaluateSummary = {results, set, images: evaluated.models[0]?.images ?? 0, steps: baseline?.steps ?? null, baselineEpoch: baseline?.epoch ?? null};
    const file = paths.model('.', 'results.json');
    const contents = `${JSON.stringify({...summary, classes: store.images.classes().length, seed: config.seed}, null, 2)}\n`;
    await publishFile(file, temporary => writeFile(temporary, contents));
    const words = [
      `teacher ${percent(results.teacher?.top1 ?? 0)}`,
      ...(results.supervised ? [`supervised baseline ${percent(results.supervised.top1)}`] : []),
      `student ${percent(results.student?.top1 ?? 0)}`,
    ];
    return {outputs: [{name: 'results', files: [file]}], summary, headline: `${set} top-1: ${words.join(', ')}`};
  },
};

async function evaluateGiven(context: RunContext, pack: string): Promise<Accuracy | null> {
  if (readyMadeOnnx(context) === null) return null;
  const {top1, top5} = await measureOnnx(context, {stage: 'evaluate', model: context.paths.model('teacher', 'given.onnx'), pack, reference: null});
  return {top1, top5};
}

/**
 * The fair baseline: the student's net, from scratch, on the labels alone, for at least as many steps as the student had in
 * both of its trainings. A gain over a teacher that was trained for less is no gain.
 */
async function trainBaseline(context: RunContext, inputs: readonly string[]): Promise<{steps: NonNullable<EvaluateSummary['steps']>; epoch: number}> {
  const {config, store} = context;
  const stepsOf = (stage: 'pretrain' | 'finetune') => (store.stages.read(stage)?.summary as {steps: number}).steps;
  const student = stepsOf('pretrain') + stepsOf('finetune');
  const images = store.images.splitCounts('train', store.images.classes().length).reduce((sum, images) => sum + images, 0);
  const stepsPerEpoch = Math.ceil(images / config.train.batch_size);
  const epochs = Math.ceil(student / stepsPerEpoch);
  const result = await train(context, {stage: 'evaluate', part: 'baseline', step: 'pretrain', folder: 'supervised', trainPack: 'train', init: null, epochs, inputs});
  return {steps: {student, supervised: result.steps}, epoch: result.bestEpoch};
}
