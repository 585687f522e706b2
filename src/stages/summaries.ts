/**
 * What each stage records of what it came to: for later stages, for the report, and for whoever asks. One schema for who
 * writes it and who reads it.
 */
import {z} from 'zod';
import {inputLayouts, outputKinds, reliabilityBin, scoringParts, taskResults} from '../children/protocol.js';
import {type StageName} from '../events.js';
import type {Store} from '../store/open.js';

const accuracy = z.object({top1: z.number(), top5: z.number()});
/** Of each model, null where there is none. */
const results = z.object({
  teacher: accuracy.nullable(),
  supervised: accuracy.nullable(),
  studentPretrained: accuracy.nullable(),
  student: accuracy.nullable(),
});
const calibration = z.object({temperature: z.number(), eceBefore: z.number(), eceAfter: z.number()});
const trained = z.object(taskResults.train.shape);
const measured = z.object(taskResults.measure.shape);
/** What a faster form of the teacher costs against the exact one, and what it saves. */
const formCost = z.object({
  form: z.string(),
  /** Of the validation images, as fractions. */
  top1: z.number(),
  exactTop1: z.number(),
  /** Share of the (class, image) pairs selected from the sample that both forms select. */
  overlap: z.number(),
  sample: z.number(),
  /** Seconds of network and decoder for the sample, the exact form's over this one's. */
  speedup: z.number(),
});
export type FormCost = z.infer<typeof formCost>;

export const summaries = {
  prepare: z.object({
    classes: z.number(),
    train: z.number(),
    validation: z.number(),
    test: z.number(),
    pool: z.number(),
    leaks: z.number(),
  }),
  /** Of a training, or the file that stood in for it, and what that was taken for. */
  teacher: z.union([
    trained,
    z.object({
      file: z.string(),
      input: z.enum(inputLayouts).nullable().optional(),
      answer: z.enum(outputKinds).nullable().optional(),
    }),
  ]),
  export: measured.extend({
    /** Not of a teacher that came as ONNX. */
    calibration: calibration.optional(),
    scoring: z.object({
      precision: z.enum(['fp32', 'int8', 'fp16']),
      decode: z.enum(['exact', 'fast']),
      measured: z.array(formCost),
      /** Of the pool whose pictures it was tried on; absent where it was not, or by an earlier pupil. */
      pool: z.string().optional(),
      device: z.string().optional(),
    }),
  }),
  score: z.object({
    images: z.number(),
    quarantined: z.number(),
    shards: z.number(),
    imagesPerSecond: z.number(),
    /** Shares of the time in which each part of the scoring was at work; null where nothing had to be scored. */
    busy: scoringParts.nullable(),
  }),
  /** See SelectionCounts. */
  select: z.object({
    classes: z.number(),
    topP: z.number(),
    topK: z.number(),
    scored: z.number(),
    candidates: z.number(),
    selected: z.number(),
    shortClasses: z.number(),
    images: z.number(),
    expectedPrecision: z.number(),
  }),
  pretrain: trained,
  finetune: trained.extend({
    /** Between PyTorch and onnxruntime. */
    parity: measured,
    calibration,
  }),
  baseline: z.union([trained, z.object({wasAskedFor: z.literal(false)})]),
  evaluate: z.object({
    results,
    /**
     * The same for the mean answer to a picture and its mirror image; null where that was not asked for. Never the
     * headline.
     */
    flipped: results.nullable(),
    /** Of each model on this set, at the temperature that its export took; with the bins of its reliability diagram. */
    calibration: z.partialRecord(
      z.enum(['teacher', 'supervised', 'studentPretrained', 'student']),
      calibration.extend({bins: z.object({before: z.array(reliabilityBin), after: z.array(reliabilityBin)})}),
    ),
    /** Where the accuracies come from: the test set, or validation where none was given. */
    set: z.enum(['test', 'validation']),
    images: z.number(),
    /** Steps of the student in both its trainings, and of the baseline. */
    steps: z.object({student: z.number(), supervised: z.number()}).nullable(),
    /** The configuration that all of this was made under; not of evaluations before it was kept. */
    config: z.unknown().optional(),
  }),
  report: z.object({}),
} satisfies Record<StageName, z.ZodType>;

export type SummaryOf<Name extends StageName> = z.infer<(typeof summaries)[Name]>;

/**
 * What a stage recorded when it last finished, whether or not that is of today's settings; null where it has not, or
 * where an earlier version wrote it in another shape.
 */
export function summaryOf<Name extends StageName>({stages}: Pick<Store, 'stages'>, name: Name): SummaryOf<Name> | null {
  const record = stages.read(name);
  if (record?.status !== 'done' && record?.status !== 'skipped') return null;
  const parsed = summaries[name].safeParse(record.summary);
  // The schema was looked up under `name`; TypeScript cannot follow that through the index.
  return parsed.success ? (parsed.data as SummaryOf<Name>) : null;
}

/** The same of a stage that is known to have finished. */
export function requireSummary<Name extends StageName>(store: Pick<Store, 'stages'>, name: Name): SummaryOf<Name> {
  const summary = summaryOf(store, name);
  if (summary === null) throw new Error(`${name} was relied on, and has recorded nothing that can be read.`);
  return summary;
}

/** What it came to in one line, which the engine keeps with the summary; empty where it has not. */
export const headlineOf = (summary: unknown): string =>
  z.object({headline: z.string()}).safeParse(summary).data?.headline ?? '';
