/**
 * How much work each stage would be: images, steps, bytes on disk, and seconds at a speed measured now. Reads file
 * names, writes nothing.
 */
import path from 'node:path';
import {runChild} from '../children/child.js';
import {isCifar, PROTOCOL, type TaskResult} from '../children/protocol.js';
import {workerCommand} from '../children/worker.js';
import {type Config, isOnnxFile} from '../config/schema.js';
import {classesKept, evaluationBatch, trainingSettings} from '../config/rules.js';
import type {StageName} from '../events.js';
import {className} from '../images/class-name.js';
import {lookAtFiles} from '../images/file-threads.js';
import {fittingTopK, takenTopP} from '../ranking/selection-size.js';
import type {Role} from '../store/images.js';
import {agreeOnClasses} from '../stages/classes.js';
import type {RunContext} from '../stages/context.js';
import {runTrainer} from '../stages/tasks.js';
import {refuseEmptyPool, validationDraw} from '../stages/prepare.js';
import {drawSizes} from '../store/draw.js';
import {lengthSettings, pretrainingEpochs, stepsPerEpoch} from '../stages/training-length.js';
import {REST, type RunSource} from '../stages/sources.js';
import type {TrainingStep} from '../stages/train.js';

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
  /** Of all of them, those in sources that are not listed yet, or changed. */
  readonly listedAnew?: number;
  /** Of the pool, those that have no scores yet, where those of the others stand. */
  readonly unscored?: number;
  /** Of a picture's file, on average; 0 where pixels lie bare. */
  readonly bytesAnImage: number;
}

/**
 * What does not grow with the data, and outweighs all else where there is little of it. Measured on this machine, in
 * seconds.
 */
export interface StartUps {
  readonly trainer: number;
  readonly worker: number;
}

export interface Speeds {
  readonly teacher: Speed;
  readonly student: Speed;
  readonly startUps: StartUps;
}

/**
 * To trace and optimise a network for ONNX takes about as long as so many starts of the trainer: CPU seconds of the
 * export of a cifarnet (12) over those of a probe (3.6).
 */
const EXPORT_IN_STARTS = 3.3;
/**
 * What listing, hashing and decoding take of one thread; sharp on photos of 100 kB to 2 MB and on PNGs of 32 px. Far
 * from exact, and seldom much of a run.
 */
const SECONDS_AN_IMAGE = 0.0015;
const DECODED_BYTES_A_SECOND = 15e6;
/** The trial of layouts before scoring: one measurement, and a search where scoring takes long. */
const TRIAL = {fromImages: 2000, seconds: 2, worthSearching: 300, searchSeconds: 12};

/** To draw the pictures and write the page, whatever the run. */
const REPORT_SECONDS = 0.3;

type Speed = TaskResult<'speed'>;

/**
 * Counts the images of every source by its listing; the same bytes in two places count twice. Throws (exit 3), as the
 * run would, where the sets have other classes, or there is nothing to score.
 */
export async function countImages({config, sources, signal}: RunContext): Promise<Counts> {
  const labels = new Map<Role, Map<string, number>>();
  let declared: readonly string[] | null = null;
  const counts = {labelled: 0, validation: 0, test: 0, unlabelled: 0};
  let bytes = 0;
  for (const {role, spec, open} of sources) {
    const source = await open();
    const known = labels.get(role) ?? new Map<string, number>();
    labels.set(role, known);
    for await (const lot of source.entries(signal)) {
      for (const {problem, label, file} of lot) {
        if (problem !== null) continue;
        counts[role]++;
        if (label === null) continue;
        const name = className(label, file);
        known.set(name, (known.get(name) ?? 0) + 1);
      }
    }
    if (role === 'labelled') declared = (await source.classes())?.map(name => className(name, source.root)) ?? null;
    if (!isCifar(spec.kind)) for await (const seen of lookAtFiles(source.files(signal), signal)) bytes += seen.bytes;
  }
  const images = Object.values(counts).reduce((sum, found) => sum + found, 0);
  await agreeOnClasses(sources, declared, role => labels.get(role) ?? new Map<string, number>());
  const split = splitCounts(config, [...(labels.get('labelled')?.values() ?? [])], counts, sources);
  refuseEmptyPool({sources, restIsPool: config.unlabelled.includes(REST)}, split.pool);
  return {...split, bytesAnImage: images === 0 ? 0 : bytes / images};
}

function splitCounts(
  config: Config,
  perClass: readonly number[],
  found: {validation: number; test: number; unlabelled: number},
  sources: readonly RunSource[],
): Omit<Counts, 'bytesAnImage'> {
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
  const own = sources.some(source => source.role === 'validation');
  const draw = {labelledPerClass: config.labelled.per_class, validation: validationDraw(config.validation, own)};
  const sizes = perClass.map(images => drawSizes(images, draw));
  const [train, validation] = [sum(sizes.map(size => size.train)), sum(sizes.map(size => size.validation))];
  const rest = config.unlabelled.includes(REST) ? sum(perClass) - train - validation : 0;
  return {
    classes: perClass.length,
    train,
    validation: own ? found.validation : validation,
    test: found.test,
    pool: found.unlabelled + rest,
  };
}

/** What each stage would take, with the starts of its children. `speeds` null leaves times out. */
export function estimate(
  {config, size, resize, threads}: Pick<RunContext, 'config' | 'size' | 'resize' | 'threads'>,
  counts: Counts,
  speeds: Speeds | null,
): Record<StageName, Estimate> {
  const pixels = (images: number, side: number) => images * side * side * 3;
  const kept = classesKept(config, counts.classes);
  const selected = selectedPairs(config, counts);
  const batch = evaluationBatch(config);
  const timed = (seconds: (speeds: Speeds) => number) => speeds && seconds(speeds);
  const decoding = (images: number) =>
    (images * (SECONDS_AN_IMAGE + counts.bytesAnImage / DECODED_BYTES_A_SECOND)) / threads;
  const exporting = ({startUps}: Speeds) => startUps.trainer * (1 + EXPORT_IN_STARTS);
  const training = (step: TrainingStep, images: number): Estimate => {
    const {batchSize, evaluations, ...settings} = trainingSettings(config, step, size);
    const epochs =
      settings.epochs ?? pretrainingEpochs(lengthSettings(config, size), {samples: images, labelled: counts.train});
    const pictures = batchSize ?? batch;
    // Labelled pictures take the place of others in a batch, so that an epoch of these is more steps.
    const share = step === 'pretrain' ? config.pretrain.labelled_share : 0;
    const steps = epochs * stepsPerEpoch(images, pictures, share);
    const seen = epochs * images + steps * Math.round(share * pictures);
    const validated = Math.min(epochs, evaluations) * counts.validation;
    const seconds = timed(({teacher, student, startUps}) => {
      const {trainImagesPerSecond, scoreImagesPerSecond} = step === 'teacher' ? teacher : student;
      return startUps.trainer + seen / trainImagesPerSecond + validated / scoreImagesPerSecond;
    });
    return {images: seen, steps, bytes: null, seconds};
  };
  const pretrain = training('pretrain', selected);
  const finetune = training('finetune', counts.train);
  const baseline = config.evaluate.baseline ? (pretrain.steps! + finetune.steps!) * batch : 0;
  const looking = (images: number, seconds: (speeds: Speeds) => number): Estimate => ({
    images,
    steps: null,
    bytes: null,
    seconds: timed(seconds),
  });
  const labelled = counts.train + counts.validation + counts.test;
  const listed = counts.listedAnew ?? labelled + counts.pool;
  // Packs of the same pictures stay.
  const packed = Math.min(labelled, listed);
  const scored = counts.unscored ?? counts.pool;
  return {
    prepare: {
      // Each picture is read and hashed once, at about a tenth of what decoding takes.
      // The worker that lists stays for all that comes.
      ...looking(listed, ({startUps}) => startUps.worker + decoding(packed) + decoding(listed) / 10),
      bytes: pixels(counts.train, resize) + pixels(counts.validation + counts.test, size),
    },
    teacher:
      config.teacher.file === null ? training('teacher', counts.train) : looking(0, ({startUps}) => startUps.trainer),
    export: looking(counts.validation, speeds =>
      config.teacher.file !== null && isOnnxFile(config.teacher.file) ? 0 : exporting(speeds),
    ),
    score: {
      ...looking(scored, ({teacher}) => {
        // Decoders and network work side by side.
        const scoring = Math.max(scored / teacher.scoreImagesPerSecond, decoding(scored));
        const trial =
          scored < TRIAL.fromImages ? 0 : TRIAL.seconds + (scoring < TRIAL.worthSearching ? 0 : TRIAL.searchSeconds);
        return trial + scoring;
      }),
      bytes: scored * (100 + 8 * kept),
    },
    select: {
      ...looking(selected, () => decoding(Math.min(selected, counts.pool))),
      bytes: pixels(Math.min(selected, counts.pool), resize),
    },
    pretrain,
    finetune: {...finetune, seconds: timed(speeds => finetune.seconds! + exporting(speeds))},
    baseline: {
      ...looking(baseline, ({student, startUps}) =>
        baseline === 0 ? 0 : startUps.trainer + baseline / student.trainImagesPerSecond,
      ),
      steps: baseline === 0 ? null : baseline / batch,
    },
    evaluate: looking(
      3 * counts.test,
      ({student, startUps}) => startUps.trainer + (3 * counts.test) / student.scoreImagesPerSecond,
    ),
    report: looking(0, () => REPORT_SECONDS),
  };
}

/**
 * Starts both children once for nothing: the second time in a command, so that what they load lies in memory as it
 * will.
 */
async function measureStartUps(context: RunContext): Promise<StartUps> {
  const timed = async (start: () => Promise<unknown>): Promise<number> => {
    const started = performance.now();
    await start();
    return (performance.now() - started) / 1000;
  };
  const probe = {protocol: PROTOCOL, task: 'probe', device: 'cpu'} as const;
  return {
    trainer: await timed(() =>
      runTrainer<'probe'>(context, {...probe, device: context.device}, {stage: 'prepare', part: 'measuring'}),
    ),
    worker: await timed(() =>
      runChild<'probe'>(workerCommand({threads: context.threads, device: 'cpu', python: null}), probe, {
        attempt: path.join(context.paths.attempts, 'measuring'),
        stop: context.stop,
        onEvent: () => {},
      }),
    ),
  };
}

/** A teacher that is right about so many of the pool, where its answers will decide K. */
const ASSUMED_RIGHT = 0.5;

function selectedPairs({select: {top_p: givenP, top_k: givenK}}: Config, {classes, pool}: Counts): number {
  const topK = givenK === 'auto' ? fittingTopK({expectedRight: ASSUMED_RIGHT * pool, scored: pool, classes}) : givenK;
  return Math.min(classes * topK, pool * takenTopP(givenP, classes));
}

/**
 * Times a few real steps of both nets, on one device: where several work together, with its part of the batch, and as
 * many times as fast (what they tell each other comes on top). The context is one of `withDevice`.
 */
export async function measureSpeeds(context: RunContext): Promise<Speeds> {
  const onGpu = context.device.startsWith('cuda');
  // Processes on one CPU share its cores.
  const [trainers, scorers] = onGpu
    ? [context.processes.count * context.processes.hosts, context.scorers.length]
    : [1, 1];
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
        architecture: {
          name: model,
          stem,
          size: context.size,
          resize: context.resize,
          classes: Array.from({length: classes}, (_, index) => String(index)),
        },
        batchSize: batchSize && Math.ceil(batchSize / trainers),
        precision,
      },
      {stage: step, part: 'measuring'},
    );
    return {
      trainImagesPerSecond: trainers * trainImagesPerSecond,
      scoreImagesPerSecond: scorers * scoreImagesPerSecond,
    };
  };
  const teacher = await measure('teacher', 100);
  const same =
    trainingSettings(context.config, 'teacher', context.size).model ===
    trainingSettings(context.config, 'pretrain', context.size).model;
  return {teacher, student: same ? teacher : await measure('pretrain', 100), startUps: await measureStartUps(context)};
}
