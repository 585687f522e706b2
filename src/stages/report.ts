/** The last step: gathers what the run recorded into one HTML file that needs no network. */
import {readFile, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {stringify} from 'yaml';
import {z} from 'zod';
import {PROTOCOL, scoringParts} from '../children/protocol.js';
import {packageFolder} from '../children/python-env.js';
import {stageNames, type Calibration, type SelectionCounts, type StageName} from '../events.js';
import {publishFile} from '../files/publish.js';
import type {Stage, StageResult} from '../pipeline/stage.js';
import {renderReport} from '../report/html.js';
import type {Curve, ReportCalibration, ReportClass, ReportData, ReportStage} from '../report/report-data.js';
import type {Store} from '../store/open.js';
import {busyParts} from '../words.js';
import {earlierRounds, experimentAround} from './beside.js';
import type {RunContext} from './context.js';
import {runWorker} from './tasks.js';
import {readingsOf} from './curves.js';
import type {EvaluateSummary} from './evaluate.js';
import type {PrepareSummary} from './prepare.js';
import {usedSettings, type TrainedStep} from './used-settings.js';

/** Pictures a class: the best, some of the middle, the last ones above the cut-off. */
const EXAMPLES = 9;
const THUMBNAIL_PIXELS = 64;

export const report: Stage<RunContext> = {
  name: 'report',
  version: 1,
  reads: ['evaluate.results', 'select.ranking', 'select.selected'],
  ingredients: ({paths}) => ({run: paths.run}),

  async run(context): Promise<StageResult> {
    const {paths} = context;
    const data = await gather(context);
    await publishFile(paths.report, temporary => writeFile(temporary, renderReport(data)));
    return {outputs: [{name: 'report', files: [paths.report]}], summary: {}, headline: paths.report};
  },
};

async function gather(context: RunContext): Promise<ReportData> {
  const {store, config, paths, device} = context;
  const summary = (stage: StageName) => store.stages.read(stage)?.summary;
  // Written by the stages of this run in the shapes that they export.
  const prepared = summary('prepare') as PrepareSummary;
  const evaluated = summary('evaluate') as EvaluateSummary;
  const selection = summary('select') as SelectionCounts;
  const trained = trainings(store, evaluated);
  const {version} = z
    .object({version: z.string()})
    .parse(JSON.parse(await readFile(path.join(packageFolder, 'package.json'), 'utf8')));
  return {
    run: paths.run,
    about: config.about ?? '',
    finishedAt: new Date().toISOString(),
    pupil: version,
    // What the evaluation worked on: a report that is written anew later proves no device.
    device: store.events.of('evaluate', 'device').at(-1)?.device ?? device,
    seed: config.seed,
    results: evaluated.results,
    flipped: evaluated.flipped,
    calibration: calibrations(store, evaluated),
    set: evaluated.set,
    evaluatedImages: evaluated.images,
    steps: evaluated.steps,
    counts: prepared,
    selection,
    stages: stageNames.filter(name => name !== 'report').map(name => stageRow(store, name, trained)),
    // One that was over within a second and read nothing has no curve.
    curves: trained.map(({curve}) => curve).filter(({evaluations}) => evaluations.length > 0),
    settings: usedSettings(config, context.size, trained),
    classes: await rankedClasses(context),
    quarantine: store.quarantine.counts(),
    config: stringify(config),
    rounds: [...earlierRounds(paths), {run: paths.run, results: evaluated.results, selection}],
    experiment: await experimentAround(paths),
  };
}

function stageRow(store: Store, name: StageName, trained: readonly Training[]): ReportStage {
  const record = store.stages.read(name);
  const facts = z
    .object({
      headline: z.string().default(''),
      imagesPerSecond: z.number().optional(),
      busy: scoringParts.nullable().default(null),
    })
    .catch({headline: '', busy: null})
    .parse(record?.summary);
  const rates = trained
    .filter(({stage}) => stage === name)
    .flatMap(({curve}) => curve.steps.map(({imagesPerSecond}) => imagesPerSecond));
  const mean = rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  return {
    name,
    status: record?.status ?? 'never',
    seconds: record?.seconds ?? 0,
    headline: facts.busy === null ? facts.headline : `${facts.headline}; ${busyParts(facts.busy)}`,
    imagesPerSecond: facts.imagesPerSecond ?? mean,
  };
}

/** A training that took place, and the curve of it. */
interface Training extends TrainedStep {
  readonly stage: StageName;
  readonly curve: Curve;
}

function trainings(store: Store, evaluated: EvaluateSummary): Training[] {
  const trained = (stage: StageName) =>
    z
      .object({bestEpoch: z.number(), epochs: z.number(), steps: z.number(), batchSize: z.number()})
      .safeParse(store.stages.read(stage)?.summary).data;
  const training = (stage: 'teacher' | 'pretrain' | 'finetune', title: string, curveTitle: string): Training[] => {
    const summary = trained(stage);
    return summary === undefined
      ? []
      : [
          {
            stage,
            step: stage,
            title,
            pseudo: stage === 'pretrain',
            ...summary,
            curve: {title: curveTitle, ...readingsOf(store, stage, ''), bestEpoch: summary.bestEpoch},
          },
        ];
  };
  const {steps, baselineEpoch} = evaluated;
  const readings = readingsOf(store, 'evaluate', 'baseline');
  const baseline: Training[] =
    steps === null || baselineEpoch === null
      ? []
      : [
          {
            stage: 'evaluate',
            step: 'pretrain',
            title: 'Baseline',
            pseudo: false,
            epochs: readings.evaluations.at(-1)?.epoch ?? baselineEpoch,
            steps: steps.supervised,
            batchSize: null,
            curve: {title: 'Supervised baseline', ...readings, bestEpoch: baselineEpoch},
          },
        ];
  return [
    ...training('teacher', 'Teacher', 'Teacher'),
    ...baseline,
    ...training('pretrain', 'Pre-training', 'Student, pre-training'),
    ...training('finetune', 'Fine-tuning', 'Student, fine-tuning'),
  ];
}

/**
 * Errors on validation come from the exports, which fitted the temperatures there; those on the evaluated set and the
 * diagrams from the evaluation.
 */
function calibrations(store: Store, {calibration}: EvaluateSummary): ReportCalibration[] {
  const exported = (stage: StageName): Calibration | undefined =>
    (store.stages.read(stage)?.summary as {calibration?: Calibration} | undefined)?.calibration;
  const onValidation = {
    teacher: exported('export'),
    supervised: undefined,
    studentPretrained: undefined,
    student: exported('finetune'),
  };
  return (['teacher', 'supervised', 'studentPretrained', 'student'] as const).flatMap(model => {
    const found = calibration[model];
    if (found === undefined) return [];
    const {temperature, eceBefore, eceAfter, bins} = found;
    const validation =
      onValidation[model] === undefined
        ? null
        : {before: onValidation[model].eceBefore, after: onValidation[model].eceAfter};
    return [{model, temperature, validation, evaluated: {before: eceBefore, after: eceAfter}, bins}];
  });
}

async function rankedClasses(context: RunContext): Promise<ReportClass[]> {
  const {store, paths} = context;
  const chosen = store.rankings.summaries().map(summary => {
    const step = Math.max(1, (summary.selected - 1) / (EXAMPLES - 1));
    const ranks = [
      ...new Set(Array.from({length: Math.min(EXAMPLES, summary.selected)}, (_, n) => Math.round(n * step))),
    ];
    return {...summary, examples: ranks.flatMap(rank => store.rankings.rows(summary.class, 1, rank))};
  });
  const pictures = await thumbnails(context, paths.pack('selected'), [
    ...new Set(chosen.flatMap(({examples}) => examples.map(row => row.image))),
  ]);
  return chosen.map(({class: name, candidates, selected, cutoff, examples}) => ({
    name,
    candidates,
    selected,
    cutoff,
    examples: examples.map(({rank, score, image, place}) => ({
      rank,
      score,
      image,
      place,
      picture: pictures.get(image) ?? null,
    })),
  }));
}

async function thumbnails(context: RunContext, pack: string, ids: string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map();
  const output = path.join(context.paths.attempts, 'thumbnails.json');
  await runWorker<'thumbnails'>(
    context,
    {protocol: PROTOCOL, task: 'thumbnails', pack, ids, size: THUMBNAIL_PIXELS, output},
    {stage: 'report', part: 'thumbnails'},
  );
  return new Map(Object.entries(z.record(z.string(), z.string()).parse(JSON.parse(await readFile(output, 'utf8')))));
}
