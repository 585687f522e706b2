/** The last step: gathers what the run recorded into one HTML file that needs no network. */
import {readFile, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {stringify} from 'yaml';
import {z} from 'zod';
import {PROTOCOL} from '../children/protocol.js';
import {packageFolder} from '../children/python-env.js';
import {configSchema, type Config} from '../config/schema.js';
import {stageNames, type StageName} from '../events.js';
import {publishFile} from '../files/publish.js';
import {renderReport} from '../report/html.js';
import type {Curve, ReportCalibration, ReportClass, ReportData, ReportStage} from '../report/report-data.js';
import type {Store} from '../store/open.js';
import {busyParts} from '../words.js';
import {earlierRounds, experimentAround} from './beside.js';
import type {StageContext} from './context.js';
import {defineStage, implied, keyed, told, type Setting} from './define.js';
import {runWorker} from './tasks.js';
import {readingsOf} from './curves.js';
import {headlineOf, requireSummary, summaryOf, type SummaryOf} from './summaries.js';
import {usedSettings, type TrainedStep} from './used-settings.js';

/** Pictures a class: the best, some of the middle, the last ones above the cut-off. */
const EXAMPLES = 9;
const THUMBNAIL_PIXELS = 64;

export const report = defineStage({
  name: 'report',
  version: 1,
  reads: ['evaluate.results', 'select.ranking', 'select.selected'],
  settings: ({paths, config, size}) => ({
    run: keyed('run', paths.run),
    about: aboutSetting(config),
    size: implied(size),
    // For an evaluation of which none can be read: from before they kept their own, or of another version's keys.
    config: implied(config),
  }),

  async run(context, settings) {
    const {paths} = context;
    const data = await gather(context, settings);
    await publishFile(paths.report, temporary => writeFile(temporary, renderReport(data)));
    return {outputs: [{name: 'report', files: [paths.report]}], summary: {}, headline: paths.report};
  },
});

/** Of a run that says nothing of itself, the record is as it was before this was an ingredient. */
const aboutSetting = ({about = ''}: Config): Setting<string> => told(about, about === '' ? {} : {about});

async function gather(
  context: StageContext,
  {about, size, config: latest}: {readonly about: string; readonly size: number; readonly config: Config},
): Promise<ReportData> {
  const {store, paths, device} = context;
  const prepared = requireSummary(store, 'prepare');
  const evaluated = requireSummary(store, 'evaluate');
  // That of the figures, whatever the run is to be next.
  const config = configSchema.safeParse(evaluated.config).data ?? latest;
  const selection = requireSummary(store, 'select');
  const trained = trainings(store);
  const {version} = z
    .object({version: z.string()})
    .parse(JSON.parse(await readFile(path.join(packageFolder, 'package.json'), 'utf8')));
  return {
    run: paths.run,
    about,
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
    settings: usedSettings(config, size, trained),
    classes: await rankedClasses(context),
    quarantine: store.quarantine.counts(),
    config: stringify({...config, run: paths.run, about: about === '' ? undefined : about}),
    rounds: [...earlierRounds(context), {run: paths.run, results: evaluated.results, selection}],
    experiment: await experimentAround(context),
  };
}

function stageRow(store: Store, name: StageName, trained: readonly Training[]): ReportStage {
  const record = store.stages.read(name);
  const scored = name === 'score' ? summaryOf(store, 'score') : null;
  const rates = trained
    .filter(({stage}) => stage === name)
    .flatMap(({curve}) => curve.steps.map(({imagesPerSecond}) => imagesPerSecond));
  const mean = rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  return {
    name,
    status: record?.status ?? 'never',
    seconds: record?.seconds ?? 0,
    headline: `${headlineOf(record?.summary)}${scored?.busy ? `; ${busyParts(scored.busy)}` : ''}`,
    imagesPerSecond: scored?.imagesPerSecond ?? mean,
  };
}

/** A training that took place, and the curve of it. */
interface Training extends TrainedStep {
  readonly stage: StageName;
  readonly curve: Curve;
}

function trainings(store: Store): Training[] {
  const training = (
    stage: 'teacher' | 'baseline' | 'pretrain' | 'finetune',
    title: string,
    curveTitle: string,
  ): Training[] => {
    const summary = requireSummary(store, stage);
    // A teacher that was given has no training here, nor has a baseline that nobody asked for.
    return !('steps' in summary)
      ? []
      : [
          {
            stage,
            // The baseline is trained as the student is.
            step: stage === 'baseline' ? 'pretrain' : stage,
            title,
            pseudo: stage === 'pretrain',
            ...summary,
            curve: {title: curveTitle, ...readingsOf(store, stage, ''), bestEpoch: summary.bestEpoch},
          },
        ];
  };
  return [
    ...training('teacher', 'Teacher', 'Teacher'),
    ...training('baseline', 'Baseline', 'Supervised baseline'),
    ...training('pretrain', 'Pre-training', 'Student, pre-training'),
    ...training('finetune', 'Fine-tuning', 'Student, fine-tuning'),
  ];
}

/**
 * Errors on validation come from the exports, which fitted the temperatures there; those on the evaluated set and the
 * diagrams from the evaluation.
 */
function calibrations(store: Store, {calibration}: SummaryOf<'evaluate'>): ReportCalibration[] {
  const onValidation = {
    teacher: requireSummary(store, 'export').calibration,
    supervised: undefined,
    studentPretrained: undefined,
    student: requireSummary(store, 'finetune').calibration,
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

async function rankedClasses(context: StageContext): Promise<ReportClass[]> {
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

async function thumbnails(context: StageContext, pack: string, ids: string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map();
  const output = path.join(context.paths.attempts, 'thumbnails.json');
  await runWorker<'thumbnails'>(
    context,
    {protocol: PROTOCOL, task: 'thumbnails', pack, ids, size: THUMBNAIL_PIXELS, output},
    {stage: 'report', part: 'thumbnails'},
  );
  return new Map(Object.entries(z.record(z.string(), z.string()).parse(JSON.parse(await readFile(output, 'utf8')))));
}
