/** What an experiment came to: the figures of its runs, and the rows of its table, which are worked out of them. */
import {z} from 'zod';
import {summarise, type Summary} from './intervals.js';

export const modelNames = ['teacher', 'supervised', 'studentPretrained', 'student'] as const;
export type ModelName = (typeof modelNames)[number];

/** Of each model; null where the run has none. */
const ofEach = <Value extends z.ZodType>(value: Value) => {
  const each = value.nullable();
  return z.object({teacher: each, supervised: each, studentPretrained: each, student: each});
};
const accuracy = z.object({top1: z.number(), top5: z.number()});

const runFigures = z.object({
  run: z.string(),
  arm: z.string(),
  seed: z.number(),
  /** What its accuracies were measured on: a set, of how many images, and a digest of which. */
  measuredOn: z.object({set: z.enum(['test', 'validation']), images: z.number(), pictures: z.string()}),
  /** Of the last round. */
  results: ofEach(accuracy),
  /** Steps of training, a student's in all its trainings and rounds, its first teacher's apart. */
  steps: ofEach(z.number()),
  /** The same training in seconds. */
  seconds: ofEach(z.number()),
});
export type RunFigures = z.infer<typeof runFigures>;

/** As it lies in table.json; what more is there is worked out of this. */
export const experimentResults = z.object({
  experiment: z.string(),
  about: z.string(),
  /** How it was made. */
  command: z.string(),
  finishedAt: z.string(),
  reference: z.string(),
  arms: z.array(z.object({name: z.string(), about: z.string()})),
  runs: z.array(runFigures),
  /** Runs without figures, and why. */
  missing: z.array(z.object({run: z.string(), reason: z.string()})),
});
export type ExperimentResults = z.infer<typeof experimentResults>;

export interface Row {
  /** Null for the reference's teacher and baseline, which stand for all. */
  readonly arm: string | null;
  readonly model: ModelName;
  readonly top1: Summary;
  /** Top-1 of each run. */
  readonly values: readonly {readonly seed: number; readonly top1: number}[];
  /**
   * Differences of top-1, each within one run, or to the run of the same seed: to the teacher, to the equal-step
   * baseline, and to the reference arm where both were measured on the same pictures. Null where there is nothing to
   * compare.
   */
  readonly toTeacher: Summary | null;
  readonly toSupervised: Summary | null;
  readonly toReference: Summary | null;
  /** Means over the runs. */
  readonly steps: number | null;
  readonly seconds: number | null;
}

/**
 * Teacher and supervised baseline of the reference arm, then the students of each arm. Where an arm's own teacher or
 * baseline is another than the reference's, it gets a row as well: the arm's differences are to that one.
 */
export function rowsOf({arms, runs, reference}: ExperimentResults): Row[] {
  const ofReference = runs.filter(({arm}) => arm === reference);
  const row = (arm: string | null, own: readonly RunFigures[], model: ModelName): Row[] => {
    const found = own.flatMap(run => (run.results[model] ? [{run, top1: run.results[model].top1}] : []));
    const top1 = summarise(found.map(({top1}) => top1));
    if (top1 === null) return [];
    const to = (rival: (run: RunFigures) => number | undefined) =>
      summarise(
        found.flatMap(({run, top1}) => {
          const other = rival(run);
          return other === undefined ? [] : [top1 - other];
        }),
      );
    const mean = (values: readonly (number | null)[]) =>
      summarise(values.filter(value => value !== null))?.mean ?? null;
    const isStudent = model === 'student' || model === 'studentPretrained';
    return [
      {
        arm,
        model,
        top1,
        values: found.map(({run: {seed}, top1}) => ({seed, top1})),
        toTeacher: model === 'teacher' ? null : to(({results}) => results.teacher?.top1),
        toSupervised: isStudent ? to(({results}) => results.supervised?.top1) : null,
        toReference:
          arm === null || arm === reference
            ? null
            : to(
                ({seed, measuredOn: {pictures}}) =>
                  ofReference.find(run => run.seed === seed && run.measuredOn.pictures === pictures)?.results[model]
                    ?.top1,
              ),
        steps: mean(found.map(({run}) => run.steps[model])),
        seconds: mean(found.map(({run}) => run.seconds[model])),
      },
    ];
  };
  const differs = (own: readonly RunFigures[], model: 'teacher' | 'supervised') =>
    own.some(({seed, results}) => {
      const shared = ofReference.find(run => run.seed === seed);
      return shared === undefined || shared.results[model]?.top1 !== results[model]?.top1;
    });
  return [
    ...(['teacher', 'supervised'] as const).flatMap(model => row(null, ofReference, model)),
    ...arms.flatMap(({name}) => {
      const own = runs.filter(({arm}) => arm === name);
      const rivals =
        name === reference ? [] : (['teacher', 'supervised'] as const).filter(model => differs(own, model));
      return [...rivals, 'studentPretrained' as const, 'student' as const].flatMap(model => row(name, own, model));
    }),
  ];
}

/** A model's name as scripts know it. */
export const wireName = (model: ModelName): string => (model === 'studentPretrained' ? 'student_pretrained' : model);

/** The rows with names that hold on the wire. */
export const rowsForScripts = (results: ExperimentResults): object[] =>
  rowsOf(results).map(({model, ...row}) => ({...row, model: wireName(model)}));
