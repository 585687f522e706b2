/**
 * The verdict: accuracies on the test set are taken here and nowhere else, once, for the teacher, both students and the equal-step
 * baseline.
 */
import {writeFile} from 'node:fs/promises';
import {PROTOCOL} from '../children/protocol.js';
import type {Accuracy, Results} from '../events.js';
import {publishFile} from '../files/publish.js';
import {verdict} from '../report/verdict.js';
import {percent} from '../words.js';
import type {StageContext} from './context.js';
import {defineStage, implied, keyed} from './define.js';
import {cameAsOnnx} from './image-settings.js';
import {runTrainer} from './tasks.js';
import {measureOnnx} from './onnx.js';
import {requireSummary, type SummaryOf} from './summaries.js';
import {teacherOnnx} from './export.js';

export const evaluate = defineStage({
  name: 'evaluate',
  version: 6,
  reads: [
    'prepare.validation',
    'prepare.test',
    'teacher.model',
    'export.onnx',
    'pretrain.model',
    'finetune.model',
    'finetune.onnx',
    'baseline.model',
  ],
  settings: given => ({
    flip: keyed('evaluate.flip', given.config.evaluate.flip),
    // By prepare.test, which tells that there is none.
    set: implied<'test' | 'validation'>(given.config.test === null ? 'validation' : 'test'),
    // By its model.
    teacherCameAsOnnx: implied(cameAsOnnx(given.config)),
    // Of all trainings that led here.
    seed: implied(given.config.seed),
    // Kept beside the figures, for whoever compares runs.
    config: implied<unknown>(given.config),
  }),

  async run(context, {flip, set, teacherCameAsOnnx, seed, config}) {
    const {paths, store, emit, device, threads, handling} = context;
    if (set === 'validation') {
      emit({
        type: 'warning',
        stage: 'evaluate',
        message:
          'No test set was given (--test): these are validation accuracies, on which epochs were chosen, so they flatter.',
      });
    }
    const trained = requireSummary(store, 'baseline');
    const baseline = 'steps' in trained ? trained : null;
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
    const summary: Omit<SummaryOf<'evaluate'>, 'config'> = {
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
      steps: baseline && {
        student: requireSummary(store, 'pretrain').steps + requireSummary(store, 'finetune').steps,
        supervised: baseline.steps,
      },
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
      summary: {...summary, config},
      headline: `${set} top-1: ${words.join(', ')}`,
    };
  },
});

async function evaluateGiven(context: StageContext, pack: string): Promise<Accuracy> {
  const {top1, top5} = await measureOnnx(context, {
    stage: 'evaluate',
    model: teacherOnnx(context),
    pack,
    reference: null,
  });
  return {top1, top5};
}
