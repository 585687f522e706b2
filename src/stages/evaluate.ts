/**
 * The verdict: the test set is read here and nowhere else, once, for the teacher, both students and the equal-step
 * baseline.
 */
import {existsSync} from 'node:fs';
import {copyFile, writeFile} from 'node:fs/promises';
import {PROTOCOL, type TaskResult} from '../children/protocol.js';
import {type Config} from '../config/schema.js';
import {evaluationBatch} from '../config/rules.js';
import type {Accuracy, Calibration, Results} from '../events.js';
import {publishFile} from '../files/publish.js';
import type {Stage, StageResult} from '../pipeline/stage.js';
import {verdict} from '../report/verdict.js';
import {percent} from '../words.js';
import type {RunContext} from './context.js';
import {runTrainer} from './tasks.js';
import {measureOnnx, type Exported} from './onnx.js';
import {teacherOnnx} from './export.js';
import {readyMadeOnnx, teacherTraining} from './teacher.js';
import {areSame, checkpointOf, train, trainingIngredients, type Training} from './train.js';

export interface EvaluateSummary {
  readonly results: Results;
  /**
   * The same for the mean answer to a picture and its mirror image; null where that was not asked for. Never the
   * headline.
   */
  readonly flipped: Results | null;
  /** Of each model on this set, at the temperature that its export took; with the bins of its reliability diagram. */
  readonly calibration: Readonly<
    Partial<Record<keyof Results, Calibration & Pick<TaskResult<'evaluate'>['models'][number], 'bins'>>>
  >;
  /** Where the accuracies come from: the test set, or validation where none was given. */
  readonly set: 'test' | 'validation';
  readonly images: number;
  /** Steps of the student in both its trainings, and of the baseline. */
  readonly steps: {readonly student: number; readonly supervised: number} | null;
  /** The epoch of the baseline whose weights were kept; null without a baseline. */
  readonly baselineEpoch: number | null;
  /** What its training took, wherever it took place: a copy of a run has its baseline from there. */
  readonly baselineSeconds: number | null;
  /** The configuration that all of this was made under; not of evaluations before it was kept. */
  readonly config?: Config;
}

export const evaluate: Stage<RunContext> = {
  name: 'evaluate',
  version: 5,
  reads: [
    'prepare.train',
    'prepare.validation',
    'prepare.test',
    'teacher.model',
    'export.onnx',
    'pretrain.model',
    'finetune.model',
    'finetune.onnx',
  ],
  ingredients(context) {
    const {config} = context;
    const flip = {'evaluate.flip': String(config.evaluate.flip)};
    if (!config.evaluate.baseline) return {...flip, 'evaluate.baseline': 'false'};
    return {
      ...flip,
      'evaluate.baseline': 'true',
      ...trainingIngredients(context, 'pretrain'),
      'finetune.epochs': String(config.finetune.epochs),
    };
  },

  async run(context, ingredients): Promise<StageResult> {
    const {config, paths, store, emit, device, threads} = context;
    const set = config.test === null ? 'validation' : 'test';
    if (set === 'validation') {
      emit({
        type: 'warning',
        stage: 'evaluate',
        message:
          'No test set was given (--test): these are validation accuracies, on which epochs were chosen, so they flatter.',
      });
    }
    const baseline = config.evaluate.baseline
      ? await trainBaseline(context, [ingredients['prepare.train']!, ingredients['prepare.validation']!])
      : null;
    const network = (name: keyof Results, folder: string, temperature: number) => ({
      name,
      model: paths.model(folder, 'model.safetensors'),
      temperature,
    });
    // Written by those stages in these shapes.
    const temperatureOf = (stage: 'export' | 'finetune') =>
      (store.stages.read(stage)?.summary as Pick<Exported, 'calibration'>).calibration.temperature;
    const models = [
      ...(readyMadeOnnx(context) === null ? [network('teacher', 'teacher', temperatureOf('export'))] : []),
      ...(baseline === null ? [] : [network('supervised', 'supervised', 1)]),
      network('studentPretrained', 'pretrained', 1),
      network('student', 'student', temperatureOf('finetune')),
    ];
    const evaluated = await runTrainer<'evaluate'>(
      context,
      {
        protocol: PROTOCOL,
        task: 'evaluate',
        device,
        threads,
        seed: config.seed,
        models,
        pack: paths.pack(set),
        batchSize: evaluationBatch(config),
        flip: config.evaluate.flip,
      },
      {stage: 'evaluate', part: set},
    );
    const resultsOf = (figure: (model: (typeof evaluated.models)[number]) => Accuracy | null): Results => {
      const of = (name: keyof Results) => {
        const found = evaluated.models.find(candidate => candidate.name === name);
        return found ? figure(found) : null;
      };
      return {
        teacher: of('teacher'),
        supervised: of('supervised'),
        studentPretrained: of('studentPretrained'),
        student: of('student'),
      };
    };
    const headline = resultsOf(({top1, top5}) => ({top1, top5}));
    const results = {...headline, teacher: headline.teacher ?? (await evaluateGiven(context, set))};
    const summary: Omit<EvaluateSummary, 'baselineSeconds' | 'config'> = {
      results,
      flipped: config.evaluate.flip ? resultsOf(({flipped}) => flipped) : null,
      calibration: Object.fromEntries(
        evaluated.models.map(({eceBefore, eceAfter, bins}, index) => [
          models[index]!.name,
          {temperature: models[index]!.temperature, eceBefore, eceAfter, bins},
        ]),
      ),
      set,
      images: evaluated.models[0]?.images ?? 0,
      steps: baseline?.steps ?? null,
      baselineEpoch: baseline?.epoch ?? null,
    };
    if (results.student && results.teacher && results.student.top1 < results.teacher.top1) {
      const {sentence} = verdict({results, set, evaluatedImages: summary.images});
      emit({
        type: 'warning',
        stage: 'evaluate',
        message: `${sentence} What its teacher knows is in ${paths.model('teacher', '.')}.`,
      });
    }
    const file = paths.model('.', 'results.json');
    const contents = `${JSON.stringify({...summary, classes: store.images.classes().length, seed: config.seed}, null, 2)}\n`;
    await publishFile(file, temporary => writeFile(temporary, contents));
    const words = [
      `teacher ${percent(results.teacher?.top1 ?? 0)}`,
      ...(results.supervised ? [`supervised baseline ${percent(results.supervised.top1)}`] : []),
      `student ${percent(results.student?.top1 ?? 0)}${summary.flipped?.student ? ` (${percent(summary.flipped.student.top1)} with mirror images as well)` : ''}`,
    ];
    return {
      outputs: [{name: 'results', files: [file]}],
      summary: {...summary, baselineSeconds: baseline?.seconds ?? null, config},
      headline: `${set} top-1: ${words.join(', ')}`,
    };
  },
};

async function evaluateGiven(context: RunContext, pack: string): Promise<Accuracy | null> {
  if (readyMadeOnnx(context) === null) return null;
  const {top1, top5} = await measureOnnx(context, {
    stage: 'evaluate',
    model: teacherOnnx(context),
    pack,
    reference: null,
  });
  return {top1, top5};
}

/**
 * The fair baseline: the student's net, from scratch, on the labels alone, for as many steps as the student had in both
 * of its trainings, to the nearest epoch. A gain over a teacher that was trained for less is no gain.
 */
async function trainBaseline(
  context: RunContext,
  inputs: readonly string[],
): Promise<{steps: NonNullable<EvaluateSummary['steps']>; epoch: number; seconds: number}> {
  const {config, store, emit} = context;
  const trained = (stage: 'pretrain' | 'finetune') =>
    store.stages.read(stage)?.summary as {steps: number; batchSize: number};
  const student = trained('pretrain').steps + trained('finetune').steps;
  const images = store.images
    .splitCounts('train', store.images.classes().length)
    .reduce((sum, images) => sum + images, 0);
  const stepsPerEpoch = Math.ceil(images / trained('pretrain').batchSize);
  const epochs = Math.max(1, Math.round(student / stepsPerEpoch));
  const baseline: Training = {
    stage: 'evaluate',
    part: 'baseline',
    step: 'pretrain',
    folder: 'supervised',
    trainPack: 'train',
    init: null,
    epochs,
    batchSize: trained('pretrain').batchSize,
    inputs,
  };
  const teacher = teacherTraining(inputs);
  if (
    config.teacher.file === null &&
    areSame(context, baseline, teacher) &&
    existsSync(checkpointOf(context, teacher))
  ) {
    // To the end of a teacher's checkpoint there is nothing left to train.
    await publishFile(checkpointOf(context, baseline), temporary =>
      copyFile(checkpointOf(context, teacher), temporary),
    );
    emit({
      type: 'note',
      stage: 'evaluate',
      message: 'The baseline is the teacher: both have the same recipe and as many steps.',
    });
  }
  const result = await train(context, baseline);
  return {steps: {student, supervised: result.steps}, epoch: result.bestEpoch, seconds: result.seconds};
}
