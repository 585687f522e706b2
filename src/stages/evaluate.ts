/**
 * The verdict: the test set is read here and nowhere else, once, for the teacher, both students and the equal-step
 * baseline.
 */
import {existsSync} from 'node:fs';
import {copyFile, writeFile} from 'node:fs/promises';
import {PROTOCOL} from '../children/protocol.js';
import {plainLabels} from '../config/rules.js';
import type {Accuracy, Results} from '../events.js';
import {publishFile} from '../files/publish.js';
import {verdict} from '../report/verdict.js';
import {percent} from '../words.js';
import type {RunContext, StageContext} from './context.js';
import {defineStage, implied, keyed, told, type Setting} from './define.js';
import {cameAsOnnx} from './image-settings.js';
import {runTrainer} from './tasks.js';
import {measureOnnx} from './onnx.js';
import {requireSummary, type SummaryOf} from './summaries.js';
import {teacherOnnx} from './export.js';
import {teacherTraining} from './teacher.js';
import {areSame, checkpointOf, stepSettings, train, type StepSettings, type Training} from './train.js';

export const evaluate = defineStage({
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
  settings: given => ({
    flip: keyed('evaluate.flip', given.config.evaluate.flip),
    baseline: baselineSetting(given),
    // By prepare.test, which tells that there is none.
    set: implied<'test' | 'validation'>(given.config.test === null ? 'validation' : 'test'),
    // By its model.
    teacherCameAsOnnx: implied(cameAsOnnx(given.config)),
    // Of all trainings that led here.
    seed: implied(given.config.seed),
    // Kept beside the figures, for whoever compares runs.
    config: implied<unknown>(given.config),
  }),

  async run(context, {flip, baseline: asked, set, teacherCameAsOnnx, seed, config}, ingredients) {
    const {paths, store, emit, device, threads, handling} = context;
    if (set === 'validation') {
      emit({
        type: 'warning',
        stage: 'evaluate',
        message:
          'No test set was given (--test): these are validation accuracies, on which epochs were chosen, so they flatter.',
      });
    }
    const baseline =
      asked && (await trainBaseline(context, asked, [ingredients['prepare.train'], ingredients['prepare.validation']]));
    const network = (name: keyof Results, folder: string, temperature: number) => ({
      name,
      model: paths.model(folder, 'model.safetensors'),
      temperature,
    });
    const temperatureOf = (stage: 'export' | 'finetune') => requireSummary(store, stage).calibration!.temperature;
    const models = [
      ...(teacherCameAsOnnx ? [] : [network('teacher', 'teacher', temperatureOf('export'))]),
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
        seed,
        models,
        pack: paths.pack(set),
        batchSize: handling.evaluationBatch,
        flip,
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
    const results = {
      ...headline,
      teacher: headline.teacher ?? (teacherCameAsOnnx ? await evaluateGiven(context, set) : null),
    };
    const summary: Omit<SummaryOf<'evaluate'>, 'baselineSeconds' | 'config'> = {
      results,
      flipped: flip ? resultsOf(({flipped}) => flipped) : null,
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
    const contents = `${JSON.stringify({...summary, classes: store.images.classes().length, seed}, null, 2)}\n`;
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
});

/** What the baseline is trained with: as the student's net is, but on plain labels. */
interface BaselineSettings {
  readonly step: StepSettings;
  /** The teacher's own training, which may be the very same; null where it was given. */
  readonly teacher: StepSettings | null;
}

/** Null where none is asked for. */
function baselineSetting(given: RunContext): Setting<BaselineSettings | null> {
  const {evaluate, teacher, finetune} = given.config;
  if (!evaluate.baseline) return told(null, {'evaluate.baseline': 'false'});
  const {value, ingredients} = stepSettings(given, 'pretrain');
  return told(
    {
      step: {...value, labels: plainLabels},
      teacher: teacher.file === null ? stepSettings(given, 'teacher').value : null,
    },
    {'evaluate.baseline': 'true', ...ingredients, 'finetune.epochs': String(finetune.epochs)},
  );
}

async function evaluateGiven(context: StageContext, pack: string): Promise<Accuracy> {
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
  context: StageContext,
  {step, teacher: ofTeacher}: BaselineSettings,
  inputs: readonly string[],
): Promise<{steps: NonNullable<SummaryOf<'evaluate'>['steps']>; epoch: number; seconds: number}> {
  const {store, emit} = context;
  const pretrained = requireSummary(store, 'pretrain');
  const student = pretrained.steps + requireSummary(store, 'finetune').steps;
  const stepsPerEpoch = Math.ceil(store.images.splitSize('train') / pretrained.batchSize);
  const epochs = Math.max(1, Math.round(student / stepsPerEpoch));
  const baseline: Training = {
    stage: 'evaluate',
    part: 'baseline',
    settings: step,
    folder: 'supervised',
    trainPack: 'train',
    init: null,
    epochs,
    batchSize: pretrained.batchSize,
    inputs,
  };
  const teacher = ofTeacher && teacherTraining(ofTeacher, inputs);
  if (teacher !== null && areSame(context, baseline, teacher) && existsSync(checkpointOf(context, teacher))) {
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
