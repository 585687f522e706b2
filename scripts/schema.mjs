// Writes what follows from the built config schema: presets/pupil.schema.json, for editors, and the tables of keys in docs/CONFIGURATION.md.
//   node scripts/schema.mjs            writes both
//   node scripts/schema.mjs --check    exits with 1, and names it, where one is out of date
import {readFileSync, writeFileSync} from 'node:fs';
import process from 'node:process';
import {fileURLToPath} from 'node:url';
import {jsonSchema} from '../dist/config/layers.js';

const BEGIN = '<!-- keys: written by scripts/schema.mjs -->';
const END = '<!-- end of keys -->';

/** Of more choices than these the page has a table of its own. */
const NAMED = 12;

/** What a value may be, in a few words. */
function values({
  type,
  enum: choices,
  const: only,
  anyOf,
  pattern,
  items,
  prefixItems,
  exclusiveMinimum,
  minimum,
  exclusiveMaximum,
  maximum,
}) {
  if (choices !== undefined)
    return choices.length > NAMED ? 'a name from the table above' : choices.map(choice => `\`${choice}\``).join(', ');
  if (only !== undefined) return `\`${only}\``;
  if (anyOf !== undefined) return [...new Set(anyOf.map(values))].join(' or ');
  const [least, most] = [exclusiveMinimum ?? minimum, exclusiveMaximum ?? maximum].map(bound =>
    bound === undefined || Math.abs(bound) >= Number.MAX_SAFE_INTEGER ? undefined : bound,
  );
  const above =
    least === undefined
      ? ''
      : exclusiveMinimum === undefined
        ? ` from ${least}`
        : type === 'integer'
          ? ` from ${least + 1}`
          : ` above ${least}`;
  const bounds = above + (most === undefined ? '' : exclusiveMaximum === undefined ? ` to ${most}` : ` below ${most}`);
  switch (type) {
    case 'integer':
      return `whole number${bounds}`;
    case 'number':
      return `number${bounds}`;
    case 'boolean':
      return '`true`, `false`';
    case 'array':
      return prefixItems === undefined
        ? `list of ${items === undefined ? 'values' : values(items)}`
        : `list of ${prefixItems.length}: ${values(prefixItems[0])}`;
    case 'null':
      return '`null`';
    default:
      return pattern === '\\S' ? 'path' : 'text';
  }
}

/** The object that a key may hold, where it may hold one. */
const objectIn = schema => (schema.type === 'object' ? schema : schema.anyOf?.find(({type}) => type === 'object'));
/** A key that may be one thing or a list of them is told by the list. */
const listIn = schema =>
  schema.anyOf?.find(({type, description}) => type === 'array' && description !== undefined) ?? schema;

function row(name, schema, isRequired) {
  const {default: preset, description = ''} = schema;
  const shown = isRequired
    ? 'required'
    : preset === undefined || preset === null
      ? ''
      : `\`${JSON.stringify(preset).replaceAll('"', '')}\``;
  return `| \`${name}\` | ${values(schema)} | ${shown} | ${description.replaceAll('|', '\\|')} |`;
}

/** A table for the keys of a run, and one for each group. A step's table leaves out what it may carry of `train`. */
function tables({properties, required}) {
  const head = '| key | value | default | |\n| --- | --- | --- | --- |';
  const groups = Object.entries(properties).map(([name, schema]) => [name, objectIn(schema)]);
  const single = groups
    .filter(([, group]) => group === undefined)
    .map(([name]) => row(name, listIn(properties[name]), required.includes(name)));
  const shared = Object.keys(objectIn(properties.train).properties);
  const grouped = groups.flatMap(([group, object]) => {
    if (object === undefined) return [];
    const own = Object.entries(object.properties).filter(
      ([key, {default: preset}]) => group === 'train' || !shared.includes(key) || preset !== undefined,
    );
    return [
      `### ${group}\n\n${object.description === undefined ? '' : `${object.description}.\n\n`}${head}\n${own.map(([key, schema]) => row(`${group}.${key}`, schema, object.required?.includes(key) && schema.default === undefined)).join('\n')}`,
    ];
  });
  return [`${head}\n${single.join('\n')}`, ...grouped].join('\n\n');
}

const schemaFile = fileURLToPath(new URL('../presets/pupil.schema.json', import.meta.url));
const docsFile = fileURLToPath(new URL('../docs/CONFIGURATION.md', import.meta.url));
const schema = jsonSchema();
const docs = readFileSync(docsFile, 'utf8');
const [before, after] = [docs.split(BEGIN)[0], docs.split(END)[1]];
const written = [
  [schemaFile, `${JSON.stringify(schema, null, 2)}\n`],
  [docsFile, `${before}${BEGIN}\n\n${tables(schema)}\n\n${END}${after}`],
];
for (const [file, content] of written) {
  if (!process.argv.includes('--check')) writeFileSync(file, content);
  else if (readFileSync(file, 'utf8') !== content) {
    process.stderr.write(`${file} is out of date. Run node scripts/schema.mjs.\n`);
    process.exitCode = 1;
  }
}
