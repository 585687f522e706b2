/** How much work each stage would be: images, steps, bytes on disk, and seconds at a speed measured now. Reads file names, writes nothing. */
import {PROTOCOL, type TaskResult} from '../children/protocol.js';
import {classesKept, type Config, evaluationBatch, trainingSettings} from '../config.js';
import type {StageName} from '../events.js';
import {runTrainer, type RunContext} from './context.js';
import {VALIDATION_AT_LEAST} from './prepare.js';
import {REST, type RunSource} from './sources.js';
import type {TrainingStep} from './train.js';

export interface Estimate {
  /** Images seen, over all epochs. */
  readonly images: number;
  readonly steps: number | null;
  /** Left on disk: packs and score files. */
  readonly bytes: number | null;
  readonly seconds: number | null;
}

export interface Counts {
  readonly classes: number;
  readonly train: number;
  readonly validation: number;
  readonly test: number;
  readonly pool: number;
}

type Speed = TaskResult<'speed'>;

/** Counts the images of every source by its listing; the same bytes in two places count twice. */
export async function countImages({config, sources, signal}: RunContext): Promise<Counts> {
  const perClass = new Map<string, number>();
  const counts = {labelled: 0, validation: 0, test: 0, unlabelled: 0};
  for (const {role, open} of sources) {
    for await (const entry of (await open()).entries(signal)) {
      if (entry.problem !== null) continue;
      counts[role]++;
      if (role === 'labelled' && entry.label !== null) perClass.set(entry.label, (perClass.get(entry.label) ?? 0) + 1);
    }
  }
  return splitCounts(config, [...perClass.values()], counts, sources);
}

function splitCounts(config: Config, perClass: readonly number[], found: {validation: number; test: number; unlabelled: number}, sources: readonly RunSource[]): Counts {
  const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
  const {per_class: wanted} = config.labelled;
  const {per_class: beside, share} = config.validation;
  const own = sources.some(source => source.role === 'validation');
  const drawn = perClass.map(images => Math.min(wanted ?? Infinity, images - (own ? 0 : (beside ?? 0))));
  const split = own || beside !== null ? drawn.map(() => 0) : drawn.map(images => Math.min(Math.max(VALIDATION_AT_LEAST, Math.ceil(share * images)), Math.floor(images / 2)));
  const validation = own ? found.validation : beside !== null ? beside * perClass.length : sum(split);
  const rest = config.unlabelled.includes(REST) ? sum([...perClass]) - sum(drawn) - (own || beside === null ? 0 : validation) : 0;
  return {classes: perClass.length, train: sum(drawn) - sum(split), validation, test: found.test, pool: found.unlabelled + rest};
}

/** What each stage would take. `speeds` are of the teacher's and the student's net; null leaves times out. */
export function estimate(context: RunContext, counts: Counts, speeds: {readonly teacher: Speed; readonly student: Speed} | null): Record<StageName, Estimate> {
  const {config, size, resize} = context;
  const pixels = (images: number, side: number) => images * side * side * 3;
  const kept = classesKept(config, counts.classes);
  const selected = Math.min(counts.classes * config.select.top_k, counts.pool * Math.min(config.select.top_p, counts.classes));
  const batch = evaluationBatch(config);
  const training = (step: TrainingStep, images: number): Estimate => {
    const {epochs, batchSize} = trainingSettings(config, step, size);
    const speed = speeds === null ? null : step === 'teacher' ? speeds.teacher : speeds.student;
    const pictures = batchSize ?? batch;
    // Labelled pictures take the place of others in a batch, so that an epoch of these is more steps.
    const labelled = step === 'pretrain' ? Math.round(config.pretrain.labelled_share * pictures) : 0;
    const steps = epochs * Math.ceil(images / Math.max(1, pictures - labelled));
    const seen = epochs * images + steps * labelled;
    return {images: seen, steps, bytes: null, seconds: speed && seen / speed.trainImagesPerSecond};
  };
  const pretrain = training('pretrain', selected);
  const finetune = training('finetune', counts.train);
  const baseline = config.evaluate.baseline ? (pretrain.steps! + finetune.steps!) * batch : 0;
  const scoring = (images: number, speed: Speed | null) => speed && images / speed.scoreImagesPerSecond;
  const looking = (images: number): Estimate => ({images, steps: null, bytes: null, seconds: null});
  return {
    prepare: {...looking(counts.train + counts.validation + counts.test + counts.pool), bytes: pixels(counts.train, resize) + pixels(counts.validation + counts.test, size)},
    teacher: config.teacher.file === null ? training('teacher', counts.train) : looking(0),
    export: looking(counts.validation),
    score: {...looking(counts.pool), bytes: counts.pool * (100 + 8 * kept), seconds: scoring(counts.pool, speeds?.teacher ?? null)},
    select: {...looking(selected), bytes: pixels(Math.min(selected, counts.pool), resize)},
    pretrain,
    finetune,
    evaluate: {...looking(baseline + 3 * counts.test), steps: baseline === 0 ? null : baseline / batch, seconds: speeds && baseline / speeds.student.trainImagesPerSecond + scoring(3 * counts.test, speeds.student)!},
    report: looking(0),
  };
}

/**
 * Times a few real steps of both nets, on one device: where several work together, with its part of the batch, and as many times as fast
 * (what they tell each other comes on top). The context is one of `withDevice`.
 */
export async function measureSpeeds(context: RunContext): Promise<{teacher: Speed; student: Speed}> {
  const onGpu = context.device.startsWith('cuda');
  // Processes on one CPU share its cores.
  const [trainers, scorers] = onGpu ? [context.processes.count * context.processes.hosts, context.scorers.length] : [1, 1];
  const measure = async (step: TrainingStep, classes: number): Promise<Speed> => {
    const {model, stem, batchSize, precision} = trainingSettings(context.config, step, context.size);
    const {trainImagesPerSecond, scoreImagesPerSecond} = await runTrainer<'speed'>(
      context,
      {
        protocol: PROTOCOL,
        task: 'speed',
        device: context.device,
        threads: context.threads,
        seed: 0,
        architecture: {name: model, stem, size: context.size, resize: context.resize, classes: Array.from({length: classes}, (_, index) => String(index))},
        batchSize: batchSize && Math.ceil(batchSize / trainers),
        precision,
      },
      {stage: step, part: 'measuring'},
    );
    return {trainImagesPerSecond: trainers * trainImagesPerSecond, scoreImagesPerSecond: scorers * scoreImagesPerSecond};
  };
  const teacher = await measure('teacher', 100);
  const same = trainingSettings(context.config, 'teacher', context.size).model === trainingSettings(context.config, 'pretrain', context.size).model;
  return {teacher, student: same ? teacher : await measure('pretrain', 100)};
}
