/**
 * From a preset, a file and flags to one checked config: layers of keys, the later over the earlier, and every mistake
 * told with its place.
 */
import {readFileSync, readdirSync, statSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {isMap, isSeq, LineCounter} from 'yaml';
import {z} from 'zod';
import {sourceKinds} from '../children/protocol.js';
import {configSchema, type Config} from './schema.js';
import {didYouMean, nearKeys, question} from '../did-you-mean.js';
import {systemCode, UserError} from '../errors.js';
import {decodeText, NotText} from '../files/text.js';
import {parseYaml, valueOf} from './yaml.js';

export type Plain = Record<string, unknown>;

/** One layer of settings; a later layer wins. `locate` says where a key stands in it, for messages. */
export interface Layer {
  readonly values: Plain;
  locate(keys: readonly PropertyKey[]): string | null;
}

/** The layer of a file, which knows what stands in it. */
export interface FileLayer extends Layer {
  /** The keys under some keys in the order in which they are written; an object puts numbers first. */
  keysUnder(keys: readonly string[]): string[];
}

const presetsFolder = fileURLToPath(new URL('../../presets/', import.meta.url));
export const presetNames = (): string[] =>
  readdirSync(presetsFolder)
    .filter(name => name.endsWith('.yaml'))
    .map(name => name.slice(0, -'.yaml'.length))
    .sort();

export const isPlain = (value: unknown): value is Plain =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The keys of a YAML file, each at its line. */
export function yamlLayer(file: string, shown: string): FileLayer {
  const text = readText(file, shown);
  const lines = new LineCounter();
  const document = parseYaml(text, shown, lines);
  const values = valueOf(document, shown) ?? {};
  if (!isPlain(values))
    throw new UserError('BAD_CONFIG', `${shown} should hold keys and values, such as \`labelled: birds/train\`.`);
  return {
    values,
    keysUnder: keys => {
      const node = keys.reduce<unknown>(
        (parent, key) =>
          isMap(parent) ? parent.items.find(item => String(item.key) === String(key))?.value : undefined,
        document.contents,
      );
      return isMap(node) ? node.items.map(item => String(item.key)) : [];
    },
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

function readText(file: string, shown: string): string {
  try {
    return decodeText(readFileSync(file));
  } catch (cause) {
    if (cause instanceof NotText) throw new UserError('BAD_CONFIG', `${shown}:${cause.line} ${cause.message}`, {cause});
    const folder = path.dirname(file);
    switch (systemCode(cause)) {
      case 'ENOENT':
      case 'ENOTDIR': {
        if (!statSync(folder, {throwIfNoEntry: false})?.isDirectory())
          throw new UserError('BAD_CONFIG', `There is no config file ${shown}: ${folder} is no folder.`, {cause});
        const preset = presetNames().includes(shown) ? ` To take the preset, write --preset ${shown}.` : '';
        const stem = (name: string) => path.basename(name).replace(/\.ya?ml$/, '');
        const beside = new Map(
          readdirSync(folder)
            .filter(name => stem(name) !== name)
            .map(name => [stem(name), path.join(path.dirname(shown), name)]),
        );
        const near = didYouMean(stem(shown), [...beside.keys()], name => beside.get(name) ?? name);
        throw new UserError('BAD_CONFIG', `There is no config file ${shown}.${preset === '' ? near : preset}`, {cause});
      }
      case 'EISDIR':
        throw new UserError(
          'BAD_CONFIG',
          `${shown} is a folder; expected a config file (YAML). A folder of pictures goes behind --labelled, --unlabelled, --validation or --test.`,
          {cause},
        );
      case null:
        throw cause;
      default:
        throw new UserError(
          'BAD_CONFIG',
          `The config file ${shown} cannot be read (${systemCode(cause)}). Check its permissions.`,
          {cause},
        );
    }
  }
}

const lookUp = (values: unknown, keys: readonly PropertyKey[]): unknown =>
  keys.reduce<unknown>(
    (value, key) =>
      isPlain(value) ? value[String(key)] : Array.isArray(value) ? (value as unknown[])[Number(key)] : undefined,
    values,
  );

/** `select.top_k=4000`: the value is read as YAML, so numbers, lists and null come out as such. */
function setLayer(assignment: string): Layer {
  const at = assignment.indexOf('=');
  if (at < 1)
    throw new UserError('BAD_CONFIG', `--set ${assignment}: expected KEY=VALUE, such as --set select.top_k=4000.`);
  const keys = assignment.slice(0, at).split('.');
  const shown = `--set ${assignment}`;
  const value = valueOf(parseYaml(assignment.slice(at + 1), shown), shown);
  const values = keys.reduceRight<unknown>((inner, key) => ({[key]: inner}), value) as Plain;
  return {values, locate: wanted => (lookUp(values, wanted.slice(0, keys.length)) === undefined ? null : shown)};
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
  const merged = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(over))
    merged.set(key, merged.has(key) ? merge(merged.get(key), value) : value);
  // Not by assignment, which would take the key __proto__ for the object's prototype.
  return Object.fromEntries(merged);
}

/**
 * What the command line says about the config. Paths in it are relative to the current folder, those in a file to the
 * file's.
 */
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

const kindAndPath = new RegExp(`^((?:${sourceKinds.join('|')}):)?(.*)$`, 's');

/** `kind:path?split=...` with its path made absolute; `rest` is no path. */
export function absoluteSource(spec: string, base: string): string {
  const [, prefix = '', rest = spec] = kindAndPath.exec(spec) ?? [];
  // Nothing at all is no path, which whoever opens it says; resolved it would be the folder itself.
  return spec === 'rest' || rest === '' ? spec : prefix + path.resolve(base, rest);
}

function absolutePaths(values: Plain, base: string): Plain {
  const source = (value: unknown): unknown =>
    typeof value === 'string' ? absoluteSource(value, base) : Array.isArray(value) ? value.map(source) : value;
  // `labelled: DIR` is short for `labelled: {source: DIR}`; written out, it can be joined with other keys of another
  // layer.
  const set = (value: unknown): unknown => {
    const long = typeof value === 'string' ? {source: value} : value;
    return isPlain(long) && 'source' in long ? {...long, source: source(long['source'])} : long;
  };
  const file = (value: unknown): unknown =>
    typeof value === 'string' && value !== '' ? path.resolve(base, value) : value;
  const made: Plain = {...values};
  for (const key of ['labelled', 'validation']) if (key in made) made[key] = set(made[key]);
  for (const key of ['unlabelled', 'test']) if (key in made) made[key] = source(made[key]);
  const teacher = made['teacher'];
  if (isPlain(teacher)) {
    made['teacher'] = {
      ...teacher,
      ...('file' in teacher && {file: file(teacher['file'])}),
      ...('classes' in teacher && {classes: file(teacher['classes'])}),
    };
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
  return {
    ...schema,
    properties: {...properties, ...orString('labelled'), ...orString('unlabelled'), ...orString('validation')},
  };
}

/** A preset's keys, with its paths, which are relative to the home. Throws where there is no such preset. */
export function presetLayer(preset: string, home: string): Layer {
  if (!presetNames().includes(preset))
    throw new UserError(
      'BAD_CONFIG',
      `There is no preset ${JSON.stringify(preset)}. Presets: ${presetNames().join(', ')}.${didYouMean(preset, presetNames())}`,
    );
  return placed(yamlLayer(path.join(presetsFolder, `${preset}.yaml`), `preset ${preset}`), home);
}

/** A layer whose paths were relative to `base`. */
export const placed = (layer: Layer, base: string): Layer => ({...layer, values: absolutePaths(layer.values, base)});

/**
 * The config of a run from preset, file and flags, in that order of strength, paths absolute. A home's paths in a
 * preset are relative to the home. Throws a UserError (exit 2) that lists every mistake with the place it was made.
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
  if (value === null) throw new UserError('BAD_CONFIG', wordMistakes(mistakes));
  return value;
}

/**
 * Checks layers, the later over the earlier, against a schema. Null where there are mistakes: each in words, with the
 * place it was made.
 */
export function check<Value>(
  schema: z.ZodType<Value>,
  layers: readonly Layer[],
  keys: readonly string[],
): {value: Value | null; mistakes: string[]} {
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
      return issue.keys
        .flatMap(key => unknownKeys(lookUp(merged, [...issue.path, key]), [...issue.path, key], keys))
        .map(({path, near}) => `${where(path)}unknown key ${path.map(String).join('.')}.${question(near)}`);
    }
    const dotted = issue.path.map(String).join('.');
    const found = lookUp(merged, issue.path);
    if (found === undefined && (dotted === 'labelled' || dotted === 'labelled.source'))
      return ['No labelled pictures: give --labelled DIR (or the key labelled).'];
    if (found === undefined && dotted === 'unlabelled')
      return ['No unlabelled pictures: give --unlabelled DIR (or the key unlabelled).'];
    return [
      `${where(issue.path)}${dotted} is ${shown(found)}; expected ${expectation(issue)}.${issue.code === 'invalid_value' && typeof found === 'string' ? didYouMean(found, issue.values.map(String)) : ''}`,
    ];
  });
  return {value: null, mistakes};
}

interface UnknownKey {
  readonly path: readonly PropertyKey[];
  readonly near: readonly string[];
}

/**
 * An unknown key that holds others is a section misspelt, most likely: then each of those is told, with what it may
 * have been.
 */
function unknownKeys(value: unknown, path: readonly PropertyKey[], known: readonly string[]): UnknownKey[] {
  const inner = isPlain(value)
    ? Object.entries(value).flatMap(([key, held]) => unknownKeys(held, [...path, key], known))
    : [];
  return inner.some(({near}) => near.length > 0) ? inner : [{path, near: nearKeys(path.map(String).join('.'), known)}];
}

/** One mistake as it is, several as a list. */
export const wordMistakes = (mistakes: readonly string[]): string =>
  mistakes.length === 1
    ? mistakes[0]!
    : `${mistakes.length} mistakes in the configuration:\n  ${mistakes.join('\n  ')}`;

/** A value as a message shows it. JSON has no NaN, which is what a flag that is no number comes as. */
const shown = (value: unknown): string => (Number.isNaN(value) ? 'NaN' : JSON.stringify(value));

const typeNames: Record<string, string> = {
  int: 'a whole number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'keys and values',
};

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
      return issue.errors
        .map(([first]) =>
          first ? `${first.path.length > 0 ? 'a list of which each is ' : ''}${expectation(first)}` : '',
        )
        .filter(Boolean)
        .join(', or ');
    default:
      return issue.message;
  }
}
