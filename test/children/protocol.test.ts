import {execFileSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {describe, expect, it} from 'vitest';
import {z} from 'zod';
import {
  childEvent,
  fromWire,
  packItem,
  scoreShard,
  toWire,
  trainerTask,
  workerTask,
} from '../../src/children/protocol.js';

const folder = new URL('../fixtures/protocol/', import.meta.url);
const fixture = z.strictObject({
  name: z.string(),
  side: z.enum(['trainer-task', 'worker-task', 'event']),
  valid: z.boolean(),
  message: z.record(z.string(), z.unknown()),
  /** The key that a refusal names, dotted, as on the wire. */
  error: z.string().optional(),
});
const fixtures = readdirSync(folder)
  .filter(name => name.endsWith('.json'))
  .map(file => ({file, ...fixture.parse(JSON.parse(readFileSync(new URL(file, folder), 'utf8')))}));
const valid = fixtures.filter(message => message.valid);
const invalid = fixtures.filter(message => !message.valid);
const schemas = {'trainer-task': trainerTask, 'worker-task': workerTask, event: childEvent};
const snake = (key: string) => key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);

/** Every key that an issue of zod complains about, as on the wire. */
const keysOf = (issue: z.core.$ZodIssue): string[] =>
  (issue.code === 'unrecognized_keys' ? issue.keys.map(key => [...issue.path, key]) : [issue.path]).map(keys =>
    keys.map(key => snake(String(key))).join('.'),
  );

describe('a message that the protocol allows', () => {
  it.each(valid)('is read and written again as it was: $name ($side)', ({side, message}) => {
    const parsed = schemas[side].parse(fromWire(JSON.stringify(message)));
    // Events may say more than this side knows; what it knows is kept.
    expect(message).toMatchObject(JSON.parse(toWire(parsed)) as object);
    if (side !== 'event') expect(JSON.parse(toWire(parsed))).toEqual(message);
  });
});

describe('a message that the protocol forbids', () => {
  it.each(invalid)('is refused by its key: $name ($side)', ({side, message, error}) => {
    const parsed = schemas[side].safeParse(fromWire(JSON.stringify(message)));
    expect(parsed.success).toBe(false);
    expect(parsed.error?.issues.flatMap(keysOf)).toContain(error);
  });
});

it('has a fixture for every task of both children and for every event', () => {
  const covered = (side: keyof typeof schemas, key: string) =>
    new Set(valid.filter(message => message.side === side).map(({message}) => message[key]));
  expect(covered('worker-task', 'task')).toEqual(new Set(workerTask.options.map(option => option.shape.task.value)));
  expect(covered('trainer-task', 'task')).toEqual(new Set(trainerTask.options.map(option => option.shape.task.value)));
  expect(covered('event', 'type')).toEqual(new Set(childEvent.options.map(option => option.shape.type.value)));
});

it('is what the trainer has it in Python (node scripts/protocol.mjs writes it)', () => {
  const script = fileURLToPath(new URL('../../scripts/protocol.mjs', import.meta.url));
  expect(execFileSync(process.execPath, [script, '--check'], {encoding: 'utf8'})).toBe('');
});

describe('the wire', () => {
  it('carries snake_case keys at every depth, and leaves values alone', () => {
    const message = {
      trainPack: '/a/trainPack',
      augment: {minArea: 0.5},
      list: [{maxFileBytes: 1}, 'camelCase'],
      none: null,
      top1Agreement: 1,
    };
    expect(toWire(message)).toBe(
      '{"train_pack":"/a/trainPack","augment":{"min_area":0.5},"list":[{"max_file_bytes":1},"camelCase"],"none":null,"top1_agreement":1}',
    );
    expect(fromWire(toWire(message))).toEqual(message);
  });

  it('is one line whatever a name holds', () => {
    const item = {
      id: '0'.repeat(24),
      place: 'a\nb/große Eule\u2028.png',
      file: '/a\\x0ab.png',
      offset: null,
      length: null,
      encoding: 'encoded' as const,
      pack: 0,
      labels: [0, 2],
      answers: {classes: [2, 0], logProbs: [-0.5, -1]},
    };
    expect(toWire(item)).not.toContain('\n');
    expect(packItem.parse(fromWire(toWire(item)))).toEqual(item);
  });

  it('carries the descriptors of a shard', () => {
    const image = {
      id: '0'.repeat(24),
      place: '/p/a.png',
      file: '/p/a.png',
      offset: null,
      length: null,
      encoding: 'encoded' as const,
    };
    const shard = {
      shard: 3,
      output: '/s/shard-00003.parquet',
      images: [image, {...image, offset: 3074, length: 3072, encoding: 'cifar' as const}],
    };
    expect(scoreShard.parse(fromWire(toWire(shard)))).toEqual(shard);
    expect(scoreShard.safeParse({...shard, images: [{...image, id: 'no id'}]}).success).toBe(false);
  });

  it('refuses what is nested without end', () =>
    expect(() => fromWire('['.repeat(100_000) + ']'.repeat(100_000))).toThrow(
      'nested too deeply: more than 100 levels',
    ));

  it('refuses what is no JSON', () =>
    expect(() => fromWire('Traceback (most recent call last):')).toThrow(SyntaxError));
});
