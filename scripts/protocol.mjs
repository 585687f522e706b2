// Writes trainer/tasks.py from the built protocol (src/children/protocol/trainer-tasks.ts): what the trainer is told, as dataclasses.
//   node scripts/protocol.mjs            writes it
//   node scripts/protocol.mjs --check    exits with 1, and says so, where it is out of date
import {readFileSync, writeFileSync} from 'node:fs';
import process from 'node:process';
import {fileURLToPath} from 'node:url';
import {z} from 'zod';
import {trainerTask} from '../dist/children/protocol.js';

const file = fileURLToPath(new URL('../trainer/tasks.py', import.meta.url));
const LINE = 120;

/** Bounds of numbers, by the name that trainer/kinds.py has for them. */
const KINDS = {
  'integer from 0': 'Count',
  'integer above 0': 'Positive',
  'number from 0 to 1': 'Fraction',
  'number from 0': 'NonNegative',
  'number above 0': 'AboveZero',
  'number from 0 below 1': 'BelowOne',
  number: 'float',
};
/** And of lists. */
const LISTS = {'str at least 2': 'Classes', 'float of 3': 'Channels', 'AboveZero of 3': 'Deviations'};

const snake = key => key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
const quoted = value => `'${value}'`;
const used = new Set();
const kind = name => {
  used.add(name);
  return name;
};

function numberType({type, minimum, exclusiveMinimum, maximum, exclusiveMaximum}) {
  const bounds = [
    minimum === undefined ? [] : ['from', minimum],
    exclusiveMinimum === undefined ? [] : ['above', exclusiveMinimum],
    maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? [] : ['to', maximum],
    exclusiveMaximum === undefined ? [] : ['below', exclusiveMaximum],
  ].flat();
  const known = KINDS[[type, ...bounds].join(' ')];
  if (known !== undefined) return known === 'float' ? known : kind(known);
  if (minimum !== undefined && maximum !== undefined && type === 'number')
    return `Annotated[float, ${kind('between')}(${minimum}, ${maximum})]`;
  throw new Error(`trainer/kinds.py has no ${[type, ...bounds].join(' ')}.`);
}

function listType({items, minItems, maxItems}) {
  const item = typeOf(items);
  if (minItems === undefined) return `tuple[${item}, ...]`;
  const known = LISTS[`${item} ${maxItems === undefined ? 'at least' : 'of'} ${minItems}`];
  return known === undefined ? `Annotated[tuple[${item}, ...], ${kind('at_least')}(${minItems})]` : kind(known);
}

/** The Python type of a part of the JSON schema. */
function typeOf(schema) {
  if (schema.$ref !== undefined) return schema.$ref.replace('#/$defs/', '');
  if (schema.anyOf !== undefined) {
    const [some, none] = schema.anyOf;
    if (schema.anyOf.length !== 2 || none.type !== 'null')
      throw new Error(`Python's side has no ${JSON.stringify(schema)}.`);
    return `${typeOf(some)} | None`;
  }
  if (typeof schema.const === 'string') return `Literal[${quoted(schema.const)}]`;
  if (schema.enum !== undefined) return `Literal[${schema.enum.map(quoted).join(', ')}]`;
  if (schema.kind === 'path') return 'Path';
  if (schema.pattern === '^(cpu|cuda:\\d+)$') return kind('Device');
  switch (schema.type) {
    case 'boolean':
      return 'bool';
    case 'string':
      return schema.minLength === 1 ? kind('Text') : 'str';
    case 'integer':
    case 'number':
      return numberType(schema);
    case 'array':
      return listType(schema);
  }
  throw new Error(`Python's side has no ${JSON.stringify(schema)}.`);
}

/** A statement as the formatter leaves it: what is too long for a line has an item on each. */
function formatted(start, type) {
  if (start.length + type.length <= LINE) return [start + type];
  const [, opening, inside] = /^(Literal\[)(.*)\]$/.exec(type);
  return [
    start + opening,
    ...inside.split(', ').map(item => `${/^ */.exec(start)[0]}    ${item},`),
    `${/^ */.exec(start)[0]}]`,
  ];
}

const fieldsOf = ({properties}) =>
  Object.entries(properties).flatMap(([key, schema]) =>
    formatted(`    ${snake(key)}: `, key === 'protocol' ? kind('Protocol') : typeOf(schema)),
  );
const dataclass = (name, schema) => ['@dataclass(frozen=True)', `class ${name}:`, ...fieldsOf(schema)].join('\n');

const {oneOf, $defs} = z.toJSONSchema(trainerTask, {io: 'input'});
const parts = Object.entries($defs).map(([name, schema]) =>
  schema.enum === undefined ? dataclass(name, schema) : formatted(`${name} = `, typeOf(schema)).join('\n'),
);
// An alias stands before the classes that use it.
parts.sort((a, b) => Number(a.startsWith('@')) - Number(b.startsWith('@')));
const tasks = oneOf.map(schema => {
  const name = schema.properties.task.const;
  return {name, title: `${name[0].toUpperCase()}${name.slice(1)}Task`, schema};
});
const classes = tasks.map(({title, schema}) => dataclass(title, schema));
/** As the linter sorts them. */
const imported = [...used].sort((a, b) => Number(/^[a-z]/.test(a)) - Number(/^[a-z]/.test(b)) || (a < b ? -1 : 1));
const text = `"""What each task of the trainer is told. Written by scripts/protocol.mjs from src/children/protocol/."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from .kinds import (
${imported.map(name => `    ${name},`).join('\n')}
)

${[...parts, ...classes].map(part => (part.startsWith('@') ? `\n${part}\n` : `${part}\n`)).join('\n')}

Task = ${tasks.map(({title}) => title).join(' | ')}
TASKS: dict[str, type] = {
${tasks.map(({name, title}) => `    '${name}': ${title},`).join('\n')}
}
`;

if (!process.argv.includes('--check')) writeFileSync(file, text);
else if (readFileSync(file, 'utf8') !== text) {
  process.stderr.write(`${file} is out of date. Run node scripts/protocol.mjs.\n`);
  process.exitCode = 1;
}
