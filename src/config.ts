/** The configuration of a run: its schema, its only defaults, and how a file, a preset and flags become one checked object. */
import {readFileSync, readdirSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {closest, distance} from 'fastest-levenshtein';
import {isMap, isSeq, LineCounter, parseDocument, type Document, type YAMLError} from 'yaml';
import {z} from 'zod';
import {inputLayouts, modelNames, outputKinds, type Architecture} from './children/protocol.js';
import {usageError} from './errors.js';

/** Keys read exactly as people write them, so they are snake_case here too. */
const positive = z.int().positive();
const share = z.number().min(0).max(1);
const rate = z.number().positive();
const auto = z.literal('auto');
const deviation = z.number().positive().max(1);
/** A run names files and folders. */
const runName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'letters, digits, dots, dashes and underscores, a letter or digit first');
const deviceName = z.string().regex(/^(auto|cpu|cuda(:\d+)?)$/, 'auto, cpu, cuda or cuda:N');
const model = z.enum(modelNames);

/** What every training step shares. `train` sets it for all of them; a step that carries a key itself goes by its own. */
const training = {
  batch_size: z
    .union([positive, auto])
    .describe('Pictures a step; auto: the largest power of two that fits the GPU (128 or 32 on a CPU). Learning rates are then those of a batch of 256, and scale with it'),
  momentum: share,
  weight_decay: z.union([z.number().nonnegative(), auto]).describe('Not on norms and biases'),
  label_smoothing: share,
  warmup: z.union([share, auto]).describe('Share of all steps over which the learning rate rises'),
  schedule: z.union([z.enum(['cosine', 'linear']), auto]),
  precision: z.enum(['auto', 'fp32', 'bf16']).describe('auto: bf16 where the device multiplies it natively'),
  evaluations: positive.describe('How often a training step looks at the validation set'),
  flip: z.boolean(),
  crop: z.union([z.enum(['none', 'shift', 'resized']), auto]).describe('auto: shift up to 64 px, RandomResizedCrop above'),
  pad: z.union([z.int().nonnegative(), auto]).describe('Largest shift in pixels; auto: an eighth of the size, at most 4'),
  min_area: share.describe('Smallest share of the picture that RandomResizedCrop keeps'),
  augment: z.enum(['none', 'trivial', 'rand']).describe('trivial: one random change a picture (TrivialAugment, arXiv 2103.10158); rand: two of one strength (RandAugment, 1909.13719)'),
  strength: z.number().min(0).max(30).describe("RandAugment's magnitude"),
  cutout: share.describe('Side of the square that is blanked, as a share of the picture; 0: none (arXiv 1708.04552)'),
  mix: z.enum(['none', 'mixup', 'cutmix']).describe('Blend two pictures and their labels (arXiv 1710.09412, 1905.04899)'),
  mix_alpha: rate.describe('Both parameters of the Beta distribution that the share of mixing is drawn from'),
  ema: z.number().min(0).lt(1).describe('Decay of the moving average of the weights, which is then what is measured and kept; 0: none'),
};
/** Keys of one step alone: how long it trains, how fast, and whatever it wants otherwise than `train`. */
const step = (epochs: number) => ({
  ...z.strictObject(training).partial().shape,
  epochs: positive.default(epochs),
  learning_rate: z.union([rate, auto]).default('auto'),
});
const temperature = z
  .union([rate, z.literal('fit')])
  .default(1)
  .describe('Divides the logits before the softmax; fit: the one under which validation is likeliest (arXiv 1706.04599)');

/** An ONNX teacher is scored with as it is; every other file holds weights for one of our networks. */
export const isOnnxFile = (file: string): boolean => file.toLowerCase().endsWith('.onnx');

export const configSchema = z.strictObject({
  run: runName.default('run').describe('Name of the run: db/NAME.sqlite, data/NAME/, models/NAME/'),
  about: z.string().optional().describe('One line on what this configuration is'),
  seed: z.int().nonnegative().default(0).describe('Settles every random draw'),
  rounds: positive.default(1).describe('In round 2 and later the student of the round before is the teacher; they are the runs NAME.round2, NAME.round3, ...'),
  device: deviceName.default('auto').describe('auto, cpu, cuda or cuda:N; auto takes a GPU where both children can use one'),

  labelled: z
    .preprocess(
      value => (typeof value === 'string' ? {source: value} : value),
      z.strictObject({
        source: z.string().describe('Where the labelled pictures come from'),
        per_class: positive.nullable().default(null).describe('Draw only so many labelled pictures a class (seeded, stratified); null takes all'),
      }),
    )
    .describe('The labelled set'),
  unlabelled: z
    .preprocess(value => (typeof value === 'string' ? [value] : value), z.array(z.string()).min(1))
    .describe('Sources of unlabelled pictures; `rest` is what labelled.per_class left over, its labels hidden'),
  validation: z
    .preprocess(
      value => (typeof value === 'string' ? {source: value} : value),
      z.strictObject({
        source: z.string().nullable().default(null).describe('A validation set of your own; null splits one off the labelled set'),
        share: share.default(0.1).describe('Share of the labelled set to split off, at least 5 a class'),
        per_class: positive.nullable().default(null).describe('Instead of a share: so many a class, drawn beside the labelled ones'),
      }),
    )
    .prefault({})
    .describe('What every choice is made on'),
  test: z.string().nullable().default(null).describe('Read once, by evaluate; null reports validation accuracies'),

  image: z
    .strictObject({
      size: z.union([positive, auto]).default('auto').describe("Side of the square the network sees; auto: 32 for CIFAR sources, else 224"),
      resize: z.union([positive, auto]).default('auto').describe('Short side after resizing, before the centre crop; auto: size up to 64 px, else size x 8/7'),
    })
    .prefault({}),

  teacher: z
    .strictObject({
      file: z.string().nullable().default(null).describe('A ready-made teacher: .safetensors, .pt, .pth or .onnx'),
      classes: z.union([z.string(), z.array(z.string())]).nullable().default(null).describe("The file's class names in its own order (a list, or a text file with one a line)"),
      mean: z.tuple([share, share, share]).nullable().default(null).describe("What the file's net subtracts from red, green and blue in 0..1; null: what the file says, else ImageNet's"),
      std: z.tuple([deviation, deviation, deviation]).nullable().default(null).describe('What it divides them by then'),
      input: z.enum([auto.value, ...inputLayouts]).default('auto').describe('What an ONNX file takes: type and order of its pixels; auto: what its graph tells'),
      output: z.enum([auto.value, ...outputKinds]).default('auto').describe('What an ONNX file answers; auto: what its graph tells'),
      model: model.default('resnet50'),
      temperature,
      ...step(100),
    })
    .superRefine(({file, classes, mean, std, input, output}, context) => {
      const refuse = (key: string, expected: string) => context.addIssue({code: 'custom', path: [key], message: expected});
      const described = {classes, mean, std, input: input === 'auto' ? null : input, output: output === 'auto' ? null : output};
      for (const [key, value] of Object.entries(described)) {
        if (value === null) continue;
        if (file === null) refuse(key, 'a teacher.file that it describes');
        else if ((key === 'input' || key === 'output') && !isOnnxFile(file)) refuse(key, `auto, since ${file} is no ONNX file`);
      }
    })
    .prefault({}),
  student: z.strictObject({model: z.union([model, auto]).default('auto').describe("auto: the teacher's"), temperature}).prefault({}),
  pretrain: z
    .strictObject({
      targets: z.enum(['hard', 'soft']).default('hard').describe("hard: the class a picture was chosen for, as in the paper; soft: the teacher's probabilities of its P best classes"),
      temperature: rate.default(1).describe('Of soft targets: above 1 evens them out'),
      rest: z.enum(['spread', 'drop']).default('spread').describe('What soft targets do with the probability outside the P classes: spread it over the others, or drop it'),
      balanced: z.boolean().default(false).describe('Repeat the pictures of short classes, so that every class is seen as often (as Noisy Student does, arXiv 1911.04252)'),
      labelled_share: z.number().min(0).lt(1).default(0).describe('Share of each batch that is labelled pictures; the paper: 0'),
      ...step(30),
    })
    .prefault({}),
  finetune: z
    .strictObject({
      ...step(20),
      learning_rate: z.union([rate, auto]).default('auto').describe('auto: a tenth of the pre-training rate; the full rate would erase the pre-training'),
    })
    .prefault({}),
  train: z
    .strictObject({
      batch_size: training.batch_size.default(128),
      momentum: training.momentum.default(0.9),
      weight_decay: training.weight_decay.default('auto'),
      label_smoothing: training.label_smoothing.default(0.1),
      warmup: training.warmup.default('auto'),
      schedule: training.schedule.default('auto'),
      precision: training.precision.default('auto'),
      evaluations: training.evaluations.default(20),
      flip: training.flip.default(true),
      crop: training.crop.default('auto'),
      pad: training.pad.default('auto'),
      min_area: training.min_area.default(0.35),
      augment: training.augment.default('none'),
      strength: training.strength.default(9),
      cutout: training.cutout.default(0),
      mix: training.mix.default('none'),
      mix_alpha: training.mix_alpha.default(1),
      ema: training.ema.default(0),
      checkpoint_minutes: rate.default(10).describe('Save in the middle of an epoch after so long'),
      compile: z.boolean().default(false).describe('torch.compile, with CUDA graphs on a GPU: a minute or two of start for faster steps'),
      tensorboard: z.boolean().default(false).describe('Also log to data/RUN/tensorboard; needs the Python package tensorboard'),
      processes: z.union([positive, auto]).default(1).describe('Processes of each host that train together, one a GPU; auto: as many as there are GPUs'),
      hosts: positive.default(1).describe('Computers that train together; they see the same files under the same paths. What to start on the others is said'),
      address: z
        .union([z.string().regex(/^[^\s:]+:\d+$/, 'HOST:PORT'), auto])
        .default('auto')
        .describe('Where the other hosts reach this one, as HOST:PORT; auto: its name, port 29400'),
    })
    .prefault({}),
  score: z
    .strictObject({
      batch_size: positive.default(32),
      shard_size: positive.default(4096).describe('Pool images in one score file'),
    })
    .prefault({}),
  select: z
    .strictObject({
      top_p: positive.default(10).describe('P: classes an image is a candidate for'),
      top_k: positive.default(1000).describe('K: images a class keeps'),
      min_score: z.number().max(0).nullable().default(null).describe('Natural log-probability below which an image is no candidate; null: no limit'),
    })
    .prefault({}),
  evaluate: z
    .strictObject({
      baseline: z.boolean().default(false).describe("Also train the student's net on the labels alone for as many steps as the student had"),
      flip: z.boolean().default(false).describe('Also measure the mean over a picture and its mirror image: figures beside the headline ones, never in their place'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      max_failures: share.default(0.01).describe('Share of pictures that may be set aside before the run stops'),
      max_file_mb: positive.default(20),
      max_megapixels: positive.default(50),
      decode_seconds: positive.default(5),
      formats: z.array(z.enum(['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'])).min(1).default(['jpeg', 'png', 'webp']),
      threads: z.union([positive, auto]).default('auto').describe('CPU threads for training and for decoding; auto: all cores'),
    })
    .prefault({}),
});

export type Config = z.infer<typeof configSchema>;
type TrainingKeys = z.infer<z.ZodObject<typeof training>>;
/** A step's own keys, over those that all share. */
type OwnKeys = {readonly [Key in keyof TrainingKeys]?: TrainingKeys[Key] | undefined};
type ModelName = Architecture['name'];

// ---------------------------------------------------------------- what `auto` means

/** Training settings that depend on the net. cifarnet: cifar10-airbench's; ResNets: torchvision's reference recipe, its rate scaled with the batch. */
function recipe(name: ModelName, batchSize: number) {
  return name === 'cifarnet'
    ? {learningRate: batchSize / 128, warmup: 0.2, schedule: 'linear' as const, weightDecay: 1e-3}
    : {learningRate: (0.1 * batchSize) / 256, warmup: 0.05, schedule: 'cosine' as const, weightDecay: 5e-4};
}

const given = <Value>(value: Value | 'auto', otherwise: Value): Value => (value === 'auto' ? otherwise : value);

export const imageSizes = (config: Config, labelledIsCifar: boolean): {size: number; resize: number} => {
  const size = given(config.image.size, labelledIsCifar ? 32 : 224);
  return {size, resize: given(config.image.resize, size <= 64 ? size : Math.round((size * 8) / 7))};
};

export const studentModel = (config: Config): ModelName => given(config.student.model, config.teacher.model);

/** The batch that learning rates belong to where the trainer finds the batch size itself. */
const REFERENCE_BATCH = 256;

/** All that decides what one training step makes. `size` in pixels. */
export function trainingSettings(config: Config, step: 'teacher' | 'pretrain' | 'finetune', size: number) {
  const name = step === 'teacher' ? config.teacher.model : studentModel(config);
  const shared: TrainingKeys = config.train;
  const own: OwnKeys = config[step];
  const {epochs, learning_rate: learningRate} = config[step];
  const of = <Key extends keyof TrainingKeys>(key: Key): TrainingKeys[Key] => {
    const value: TrainingKeys[Key] | undefined = own[key];
    return value === undefined ? shared[key] : value;
  };
  const batchSize = of('batch_size');
  const defaults = recipe(name, given(batchSize, REFERENCE_BATCH));
  const base = given(step === 'teacher' ? learningRate : config.pretrain.learning_rate, defaults.learningRate);
  return {
    model: name,
    stem: size <= 64 ? ('small' as const) : ('imagenet' as const),
    epochs,
    evaluations: of('evaluations'),
    /** Null: the trainer finds the largest that fits. */
    batchSize: batchSize === 'auto' ? null : batchSize,
    learningRate: step === 'finetune' ? given(learningRate, base / 10) : base,
    warmup: given(of('warmup'), defaults.warmup),
    schedule: given(of('schedule'), defaults.schedule),
    momentum: of('momentum'),
    weightDecay: given(of('weight_decay'), defaults.weightDecay),
    labelSmoothing: of('label_smoothing'),
    precision: of('precision'),
    ema: of('ema'),
    augment: {
      flip: of('flip'),
      crop: given(of('crop'), size <= 64 ? 'shift' : 'resized'),
      pad: given(of('pad'), Math.min(4, Math.floor(size / 8))),
      minArea: of('min_area'),
      policy: of('augment'),
      strength: of('strength'),
      cutout: of('cutout'),
      mix: of('mix'),
      mixAlpha: of('mix_alpha'),
    },
  };
}

/** What the student's pre-training makes of the teacher's answers. */
export function pseudoLabels(config: Config) {
  const {targets, temperature, rest, balanced, labelled_share: labelledShare} = config.pretrain;
  return {targets, temperature, rest, balanced, labelledShare};
}

/** All other steps learn from plain labels. */
export const plainLabels: ReturnType<typeof pseudoLabels> = {targets: 'hard', temperature: 1, rest: 'spread', balanced: false, labelledShare: 0};

/** Images at once in evaluations, where no gradients take memory. */
export const evaluationBatch = (config: Config): number => (config.train.batch_size === 'auto' ? REFERENCE_BATCH : config.train.batch_size);

/** Classes kept an image in the score files: enough that P up to 10 can change without scoring again. */
export const classesKept = (config: Config, classes: number): number => Math.min(classes, Math.max(10, config.select.top_p));

// ---------------------------------------------------------------- from file, preset and flags to a config

export type Plain = Record<string, unknown>;

/** One layer of settings; a later layer wins. `locate` says where a key stands in it, for messages. */
export interface Layer {
  readonly values: Plain;
  locate(keys: readonly PropertyKey[]): string | null;
}

const presetsFolder = fileURLToPath(new URL('../presets/', import.meta.url));
export const presetNames = (): string[] =>
  readdirSync(presetsFolder)
    .filter(name => name.endsWith('.yaml'))
    .map(name => name.slice(0, -'.yaml'.length))
    .sort();

export const isPlain = (value: unknown): value is Plain => typeof value === 'object' && value !== null && !Array.isArray(value);

/** The keys of a YAML file, each at its line. */
export function yamlLayer(file: string, shown: string): Layer {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw usageError(`Cannot read the config file ${shown}: ${cause instanceof Error ? cause.message : String(cause)}`, {cause});
  }
  const lines = new LineCounter();
  const document: Document = parseDocument(text, {lineCounter: lines});
  const [error] = document.errors;
  if (error) throw usageError(`${shown}:${error.linePos?.[0].line ?? 1} is not valid YAML: ${reasonOf(error)}.`, {cause: error});
  const values: unknown = document.toJS() ?? {};
  if (!isPlain(values)) throw usageError(`${shown} should hold keys and values, such as \`labelled: birds/train\`.`);
  return {
    values,
    locate(keys) {
      let node: unknown = document.contents;
      let line: number | null = null;
      for (const key of keys) {
        if (isMap(node)) {
          const pair = node.items.find(item => String(item.key) === String(key));
          if (!pair) return null;
          const start = (pair.key as {range?: [number, number, number]}).range?.[0] ?? 0;
          line = lines.linePos(start).line;
          node = pair.value;
        } else if (!isSeq(node)) return line === null ? null : `${shown}:${line}`;
      }
      return line === null ? null : `${shown}:${line}`;
    },
  };
}

/** The first line of a YAML error, less the place at its end: it is told in front. */
const reasonOf = ({message}: YAMLError): string => (message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:$/, '');

const lookUp = (values: unknown, keys: readonly PropertyKey[]): unknown =>
  keys.reduce<unknown>((value, key) => (isPlain(value) ? value[String(key)] : Array.isArray(value) ? (value as unknown[])[Number(key)] : undefined), values);

/** `select.top_k=4000`: the value is read as YAML, so numbers, lists and null come out as such. */
function setLayer(assignment: string): Layer {
  const at = assignment.indexOf('=');
  if (at < 1) throw usageError(`--set ${assignment}: expected KEY=VALUE, such as --set select.top_k=4000.`);
  const keys = assignment.slice(0, at).split('.');
  const document = parseDocument(assignment.slice(at + 1));
  const [error] = document.errors;
  if (error) throw usageError(`--set ${assignment}: the value is not valid YAML: ${reasonOf(error)}.`, {cause: error});
  const value: unknown = document.toJS();
  const values = keys.reduceRight<unknown>((inner, key) => ({[key]: inner}), value) as Plain;
  return {values, locate: wanted => (lookUp(values, wanted.slice(0, keys.length)) === undefined ? null : `--set ${assignment}`)};
}

/** A flag of its own, such as --labelled; undefined where it was not given. */
export function flagLayer(flag: string, values: Plain): Layer {
  return {values, locate: wanted => (lookUp(values, wanted.slice(0, 1)) === undefined ? null : flag)};
}

/** What stands under some keys of a layer, as a layer of its own: there are config keys inside an experiment's file. */
export function innerLayer(layer: Layer, keys: readonly string[]): Layer {
  const values = lookUp(layer.values, keys);
  return {values: isPlain(values) ? values : {}, locate: wanted => layer.locate([...keys, ...wanted])};
}

/** Later over earlier, key by key. */
function merge(base: unknown, over: unknown): unknown {
  if (!isPlain(base) || !isPlain(over)) return over;
  const merged: Plain = {...base};
  for (const [key, value] of Object.entries(over)) merged[key] = key in merged ? merge(merged[key], value) : value;
  return merged;
}

/** What the command line says about the config. Paths in it are relative to the current folder, those in a file to the file's. */
export interface ConfigFlags {
  readonly file?: string | undefined;
  readonly preset?: string | undefined;
  readonly run?: string | undefined;
  readonly labelled?: string | undefined;
  readonly unlabelled?: readonly string[] | undefined;
  readonly validation?: string | undefined;
  readonly test?: string | undefined;
  readonly teacher?: string | undefined;
  readonly device?: string | undefined;
  readonly maxFailures?: number | undefined;
  readonly set?: readonly string[] | undefined;
}

/** `kind:path?split=...` with its path made absolute; `rest` is no path. */
export function absoluteSource(spec: string, base: string): string {
  const [, prefix = '', rest = spec] = /^((?:folder|cifar10|cifar100|webdataset|manifest):)?(.*)$/s.exec(spec) ?? [];
  return spec === 'rest' ? spec : prefix + path.resolve(base, rest);
}

function absolutePaths(values: Plain, base: string): Plain {
  const source = (value: unknown): unknown => (typeof value === 'string' ? absoluteSource(value, base) : Array.isArray(value) ? value.map(source) : value);
  // `labelled: DIR` is short for `labelled: {source: DIR}`; written out, it can be joined with other keys of another layer.
  const set = (value: unknown): unknown => {
    const long = typeof value === 'string' ? {source: value} : value;
    return isPlain(long) && 'source' in long ? {...long, source: source(long['source'])} : long;
  };
  const file = (value: unknown): unknown => (typeof value === 'string' ? path.resolve(base, value) : value);
  const made: Plain = {...values};
  for (const key of ['labelled', 'validation']) if (key in made) made[key] = set(made[key]);
  for (const key of ['unlabelled', 'test']) if (key in made) made[key] = source(made[key]);
  const teacher = made['teacher'];
  if (isPlain(teacher)) {
    made['teacher'] = {...teacher, ...('file' in teacher && {file: file(teacher['file'])}), ...('classes' in teacher && {classes: file(teacher['classes'])})};
  }
  return made;
}

/** Every settable key, dotted: `select.top_k`. */
export function configKeys(): string[] {
  const keys = (schema: unknown, prefix: string): string[] => {
    const properties = lookUp(schema, ['properties']);
    if (!isPlain(properties)) return [prefix];
    return Object.entries(properties).flatMap(([key, inner]) => keys(inner, prefix ? `${prefix}.${key}` : key));
  };
  return keys(plainSchema(), '');
}

const plainSchema = () => z.toJSONSchema(configSchema, {io: 'input', unrepresentable: 'any'});

/** The schema for editors (JSON Schema): also with the short forms, in which a source alone stands for all its keys. */
export function jsonSchema(): object {
  const {properties, ...schema} = plainSchema();
  const orString = (key: string) => ({[key]: {anyOf: [{type: 'string'}, properties?.[key]]}});
  return {...schema, properties: {...properties, ...orString('labelled'), ...orString('unlabelled'), ...orString('validation')}};
}

/** A known key that may be meant: one with the same last part, one spelt nearly so, or one whose last part is. */
function nearestKey(key: string, known: readonly string[]): string {
  const lastPart = (dotted: string): string => dotted.split('.').at(-1) ?? dotted;
  const last = lastPart(key);
  const nearest = closest(key, known);
  const found =
    known.find(candidate => lastPart(candidate) === last) ??
    (distance(key, nearest) <= Math.max(2, key.length / 3) ? nearest : known.find(candidate => distance(last, lastPart(candidate)) <= last.length / 3));
  return found === undefined ? '' : ` Did you mean ${found}?`;
}

/** A preset's keys, with its paths, which are relative to the home. Throws where there is no such preset. */
export function presetLayer(preset: string, home: string): Layer {
  if (!presetNames().includes(preset)) throw usageError(`There is no preset ${JSON.stringify(preset)}. Presets: ${presetNames().join(', ')}.`);
  return placed(yamlLayer(path.join(presetsFolder, `${preset}.yaml`), `preset ${preset}`), home);
}

/** A layer whose paths were relative to `base`. */
export const placed = (layer: Layer, base: string): Layer => ({...layer, values: absolutePaths(layer.values, base)});

/**
 * The config of a run from preset, file and flags, in that order of strength, paths absolute. A home's paths in a preset are
 * relative to the home. Throws a UserError (exit 2) that lists every mistake with the place it was made.
 */
export function readConfig(flags: ConfigFlags, home: string): Config {
  const cwd = process.cwd();
  const layers: Layer[] = [];
  if (flags.preset !== undefined) layers.push(presetLayer(flags.preset, home));
  if (flags.file !== undefined) {
    const file = path.resolve(cwd, flags.file);
    const layer = yamlLayer(file, flags.file);
    const named = {run: path.basename(file).replace(/\.ya?ml$/, ''), ...layer.values};
    layers.push(placed({...layer, values: named}, path.dirname(file)));
  }
  const flagged: [string, Plain | undefined][] = [
    ['--labelled', flags.labelled === undefined ? undefined : {labelled: flags.labelled}],
    ['--unlabelled', flags.unlabelled === undefined ? undefined : {unlabelled: [...flags.unlabelled]}],
    ['--validation', flags.validation === undefined ? undefined : {validation: flags.validation}],
    ['--test', flags.test === undefined ? undefined : {test: flags.test}],
    ['--teacher', flags.teacher === undefined ? undefined : {teacher: {file: flags.teacher}}],
    ['--device', flags.device === undefined ? undefined : {device: flags.device}],
    ['--max-failures', flags.maxFailures === undefined ? undefined : {limits: {max_failures: flags.maxFailures}}],
    ['--run', flags.run === undefined ? undefined : {run: flags.run}],
  ];
  for (const [flag, values] of flagged) if (values) layers.push(placed(flagLayer(flag, values), cwd));
  for (const assignment of flags.set ?? []) layers.push(placed(setLayer(assignment), cwd));
  const {value, mistakes} = check(configSchema, layers, configKeys());
  if (value === null) throw usageError(wordMistakes(mistakes));
  return value;
}

/** Checks layers, the later over the earlier, against a schema. Null where there are mistakes: each in words, with the place it was made. */
export function check<Value>(schema: z.ZodType<Value>, layers: readonly Layer[], keys: readonly string[]): {value: Value | null; mistakes: string[]} {
  const merged = layers.reduce<unknown>((values, layer) => merge(values, layer.values), {});
  const parsed = schema.safeParse(merged);
  if (parsed.success) return {value: parsed.data, mistakes: []};

  const where = (keys: readonly PropertyKey[]): string => {
    for (const layer of layers.toReversed()) {
      const found = layer.locate(keys);
      if (found !== null) return `${found} `;
    }
    return '';
  };
  const mistakes = parsed.error.issues.flatMap(issue => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map(key => {
        const dotted = [...issue.path, key].map(String).join('.');
        return `${where([...issue.path, key])}unknown key ${dotted}.${nearestKey(dotted, keys)}`;
      });
    }
    const dotted = issue.path.map(String).join('.');
    const found = lookUp(merged, issue.path);
    if (found === undefined && (dotted === 'labelled' || dotted === 'labelled.source')) return ['No labelled pictures: give --labelled DIR (or the key labelled).'];
    if (found === undefined && dotted === 'unlabelled') return ['No unlabelled pictures: give --unlabelled DIR (or the key unlabelled).'];
    return [`${where(issue.path)}${dotted} is ${shown(found)}; expected ${expectation(issue)}.`];
  });
  return {value: null, mistakes};
}

/** One mistake as it is, several as a list. */
export const wordMistakes = (mistakes: readonly string[]): string =>
  mistakes.length === 1 ? mistakes[0]! : `${mistakes.length} mistakes in the configuration:\n  ${mistakes.join('\n  ')}`;

/** A value as a message shows it. JSON has no NaN, which is what a flag that is no number comes as. */
const shown = (value: unknown): string => (Number.isNaN(value) ? 'NaN' : JSON.stringify(value));

const typeNames: Record<string, string> = {int: 'a whole number', string: 'text', boolean: 'true or false', array: 'a list', object: 'keys and values'};

/** What zod expected, in words. */
function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return typeNames[issue.expected] ?? `a ${issue.expected}`;
    case 'too_small':
      return `${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}${issue.origin === 'array' ? (issue.minimum === 1 ? ' entry' : ' entries') : ''}`;
    case 'too_big':
      return `at most ${issue.maximum}`;
    case 'invalid_value':
      return `${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`;
    case 'invalid_union':
      return issue.errors.map(([first]) => (first ? expectation(first) : '')).filter(Boolean).join(', or ');
    default:
      return issue.message;
  }
}
