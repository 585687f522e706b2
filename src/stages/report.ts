/** The last step: gathers what the run recorded into one HTML file that needs no network. */
import {readFile, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {stringify} from 'yaml';
import {z} from 'zod';
import {PROTOCOL} from '../children/protocol.js';
import {packageFolder} from '../children/python-env.js';
import {stageNames, type SelectionCounts, type StageName} from '../events.js';
import {publishFile} from '../publish.js';
import type {Stage, StageResult} from '../pipeline/stage.js';
import {renderReport} from '../report/html.js';
import type {Curve, ReportClass, ReportData, ReportStage} from '../report/report-data.js';
import type {Store} from '../store/open.js';
import {runWorker, type RunContext} from './context.js';
import type {EvaluateSummary} from './evaluate.js';
import type {PrepareSummary} from './prepare.js';

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
  const {version} = z.object({version: z.string()}).parse(JSON.parse(await readFile(path.join(packageFolder, 'package.json'), 'utf8')));
  return {
    run: paths.run,
    about: config.about ?? '',
    finishedAt: new Date().toISOString(),
    pupil: version,
    device,
    seed: config.seed,
    results: evaluated.results,
    set: evaluated.set,
    evaluatedImages: evaluated.images,
    steps: evaluated.steps,
    counts: prepared,
    selection,
    stages: stageNames.filter(name => name !== 'report').map(name => stageRow(store, name)),
    curves: curves(store, evaluated.baselineEpoch),
    classes: await rankedClasses(context),
    quarantine: store.quarantine.counts(),
    config: stringify(config),
  };
}

function stageRow(store: Store, name: StageName): ReportStage {
  const record = store.stages.read(name);
  const facts = z.object({headline: z.string().optional(), imagesPerSecond: z.number().optional()}).catch({}).parse(record?.summary);
  const steps = store.events.of(name, 'step').filter(step => step.imagesPerSecond > 0);
  const trained = steps.length === 0 ? null : steps.reduce((sum, step) => sum + step.imagesPerSecond, 0) / steps.length;
  return {name, status: record?.status ?? 'never', seconds: record?.seconds ?? 0, headline: facts.headline ?? '', imagesPerSecond: facts.imagesPerSecond ?? trained};
}

/** A training that was cut short and goes on, or begins anew, tells again what it told before: what it said last stands. */
export function lastAccount<Event>(events: readonly Event[], position: (event: Event) => number): Event[] {
  const standing: Event[] = [];
  for (const event of events) {
    while (standing.length > 0 && position(standing.at(-1)!) >= position(event)) standing.pop();
    standing.push(event);
  }
  return standing;
}

function curves(store: Store, baselineEpoch: number | null): Curve[] {
  const keptEpoch = (stage: StageName) => z.object({bestEpoch: z.number()}).safeParse(store.stages.read(stage)?.summary).data?.bestEpoch ?? null;
  const curve = (stage: StageName, part: string, title: string, kept: number | null): Curve | null => {
    const evaluations = store.events.of(stage, 'evaluated').filter(event => event.part === part);
    if (evaluations.length === 0 || kept === null) return null;
    return {title, steps: store.events.of(stage, 'step').filter(event => event.part === part), evaluations, bestEpoch: kept};
  };
  return [
    curve('teacher', '', 'Teacher', keptEpoch('teacher')),
    curve('evaluate', 'baseline', 'Supervised baseline', baselineEpoch),
    curve('pretrain', '', 'Student, pre-training', keptEpoch('pretrain')),
    curve('finetune', '', 'Student, fine-tuning', keptEpoch('finetune')),
  ].filter(found => found !== null);
}

async function rankedClasses(context: RunContext): Promise<ReportClass[]> {
  const {store, paths} = context;
  const chosen = store.rankings.summaries().map(summary => {
    const step = Math.max(1, (summary.selected - 1) / (EXAMPLES - 1));
    const ranks = [...new Set(Array.from({length: Math.min(EXAMPLES, summary.selected)}, (_, n) => Math.round(n * step)))];
    return {...summary, examples: ranks.flatMap(rank => store.rankings.rows(summary.class, 1, rank))};
  });
  const pictures = await thumbnails(context, paths.pack('selected'), [...new Set(chosen.flatMap(({examples}) => examples.map(row => row.image)))]);
  return chosen.map(({class: name, candidates, selected, cutoff, examples}) => ({
    name,
    candidates,
    selected,
    cutoff,
    examples: examples.map(({rank, score, image, place}) => ({rank, score, image, place, picture: pictures.get(image) ?? null})),
  }));
}

async function thumbnails(context: RunContext, pack: string, ids: string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map();
  const output = path.join(context.paths.attempts, 'thumbnails.json');
  await runWorker<'thumbnails'>(context, {protocol: PROTOCOL, task: 'thumbnails', pack, ids, size: THUMBNAIL_PIXELS, output}, {stage: 'report', part: 'thumbnails'});
  return new Map(Object.entries(z.record(z.string(), z.string()).parse(JSON.parse(await readFile(output, 'utf8')))));
}
