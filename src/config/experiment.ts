/** The file of an experiment: its schema, and how its arms and seeds become one checked config a run. */
import path from 'node:path';
import {z} from 'zod';
import {configSchema, type Config} from './schema.js';
import {
  check,
  configKeys,
  flagLayer,
  innerLayer,
  placed,
  presetLayer,
  presetNames,
  wordMistakes,
  yamlLayer,
  type Layer,
} from './layers.js';
import {didYouMean} from '../did-you-mean.js';
import {UserError} from '../errors.js';

const runName = (experiment: string, arm: string, seed: number): string => `${experiment}.${arm}.seed${seed}`;

/** The name of an arm holds no dot, so that people can tell it from the other parts of a run's name. */
const armName = /^[A-Za-z0-9][A-Za-z0-9_-]*$/;
const seeds = z
  .array(z.int().nonnegative())
  .min(1)
  .refine(list => new Set(list).size === list.length, 'seeds of which none comes twice');
const configPart = z.record(z.string(), z.unknown());

const experimentSchema = z.strictObject({
  experiment: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'letters, digits, dots, dashes and underscores, a letter or digit first')
    .describe('Its name (default: that of the file)'),
  about: z.string().default(''),
  preset: z.enum(presetNames()).nullable().default(null).describe('Whose keys all arms start from'),
  config: configPart.default({}).describe('Config keys that all arms share'),
  seeds: seeds.default([0]).describe('Each arm is run once a seed'),
  arms: z
    .record(
      z.string(),
      z.preprocess(
        arm => arm ?? {},
        z.strictObject({
          about: z.string().default(''),
          set: configPart.default({}).describe('Config keys in which the arm differs'),
          seeds: seeds.nullable().default(null).describe("Instead of the experiment's"),
        }),
      ),
    )
    .refine(arms => Object.keys(arms).length > 0, 'at least one arm'),
  reference: z
    .string()
    .nullable()
    .default(null)
    .describe(
      'The arm that the others are compared with, and whose teacher and baseline are shown (default: the first)',
    ),
});

/** For messages: keys that may have been meant. */
const experimentKeys = [...Object.keys(experimentSchema.shape), 'arms.NAME.about', 'arms.NAME.set', 'arms.NAME.seeds'];

export interface Arm {
  readonly name: string;
  readonly about: string;
}

export interface ExperimentRun {
  readonly arm: string;
  readonly seed: number;
  /** Of its first round, under the run's name. */
  readonly config: Config;
}

export interface Experiment {
  readonly name: string;
  readonly about: string;
  readonly arms: readonly Arm[];
  readonly reference: string;
  /** Seed by seed, so that a table is whole as early as can be; in the order of the arms. */
  readonly runs: readonly ExperimentRun[];
}

export interface ExperimentFlags {
  readonly file: string;
  readonly device?: string | undefined;
}

/**
 * Reads an experiment, with all mistakes told at once (exit 2). Paths in it are relative to the file's folder, those of
 * its preset to the home.
 */
export function readExperiment(flags: ExperimentFlags, home: string): Experiment {
  const file = path.resolve(process.cwd(), flags.file);
  const given = yamlLayer(file, flags.file);
  const named: Layer = {...given, values: {experiment: path.basename(file).replace(/\.ya?ml$/, ''), ...given.values}};
  if (!('arms' in given.values))
    throw new UserError(
      'BAD_CONFIG',
      `${flags.file} has no arms, so it is no experiment. Expected arms: with a name and its settings (set:) each. A configuration of one run is run by  pupil orchestrate ${flags.file}`,
    );
  const {value: experiment, mistakes} = check(experimentSchema, [named], experimentKeys);
  // In the file's order: an object puts names that are numbers first, and may lack one (__proto__).
  const armNames = given.keysUnder(['arms']);
  for (const name of armNames) {
    if (!armName.test(name))
      mistakes.push(
        `${given.locate(['arms', name]) ?? flags.file} arms has ${JSON.stringify(name)}; expected a name of letters, digits, dashes and underscores, a letter or digit first.`,
      );
  }
  if (experiment === null || mistakes.length > 0) throw new UserError('BAD_CONFIG', wordMistakes(mistakes));
  const arms = armNames.map(name => [name, experiment.arms[name]!] as const);
  const reference = experiment.reference ?? arms[0]![0];
  const found = new Set<string>();
  const names = arms.map(([name]) => name);
  if (!names.includes(reference))
    found.add(
      `${given.locate(['reference']) ?? flags.file} reference is ${JSON.stringify(reference)}; expected one of the arms: ${names.join(', ')}.${didYouMean(reference, names)}`,
    );
  const inFile = (...keys: string[]) => placed(innerLayer(given, keys), path.dirname(file));
  const shared: Layer[] = [
    ...(experiment.preset === null ? [] : [presetLayer(experiment.preset, home)]),
    inFile('config'),
  ];
  const flagged: Layer[] = flags.device === undefined ? [] : [flagLayer('--device', {device: flags.device})];
  const runs: ExperimentRun[] = [];
  for (const [keys, layer] of [
    [['config'], inFile('config')] as const,
    ...arms.map(([arm]) => [['arms', arm, 'set'], inFile('arms', arm, 'set')] as const),
  ]) {
    for (const [key, instead] of [
      ['run', 'the key experiment and the name of the arm'],
      ['seed', 'the key seeds'],
    ] as const) {
      if (key in layer.values)
        found.add(
          `${layer.locate([key]) ?? flags.file} ${[...keys, key].join('.')} cannot be set: it comes of ${instead}.`,
        );
    }
  }
  for (const [arm, {seeds: own, about}] of arms) {
    const seeds = own ?? experiment.seeds;
    const named = (seed: number) => ({run: runName(experiment.experiment, arm, seed), seed});
    // Once an arm: of its runs' keys only these two differ, and what the largest seed may be called, all may.
    const naming: Layer = {values: named(seeds.reduce((largest, seed) => Math.max(largest, seed))), locate: () => null};
    const {value: config, mistakes} = check(
      configSchema,
      [...shared, inFile('arms', arm, 'set'), ...flagged, naming],
      configKeys(),
    );
    if (config !== null)
      for (const seed of seeds)
        runs.push({
          arm,
          seed,
          config: {...config, ...named(seed), about: [about, experiment.about, config.about].find(text => text)},
        });
    for (const mistake of mistakes) found.add(mistake);
  }
  if (found.size > 0) throw new UserError('BAD_CONFIG', wordMistakes([...found]));
  return {
    name: experiment.experiment,
    about: experiment.about,
    arms: arms.map(([name, {about}]) => ({name, about})),
    reference,
    runs: seedBySeed(runs),
  };
}

function seedBySeed(runs: readonly ExperimentRun[]): ExperimentRun[] {
  const place = new Map([...new Set(runs.map(({seed}) => seed))].map((seed, at) => [seed, at]));
  return runs.toSorted((a, b) => place.get(a.seed)! - place.get(b.seed)!);
}
