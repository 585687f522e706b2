import {readFileSync} from 'node:fs';
import {expect, it} from 'vitest';
import {jsonSchema, presetNames, readConfig} from '../../src/config/layers.js';

it('keeps the schema for editors as the code has it (node scripts/schema.mjs writes it)', () => {
  const written: unknown = JSON.parse(
    readFileSync(new URL('../../presets/pupil.schema.json', import.meta.url), 'utf8'),
  );
  expect(written).toEqual(JSON.parse(JSON.stringify(jsonSchema())));
});

it('says of every preset in one line what it is, and asks for the sources that it does not bring', () => {
  expect(presetNames()).toEqual(['cifar100', 'cifar100-cpu', 'demo', 'imagenet']);
  for (const preset of presetNames()) {
    const config = readConfig({preset, labelled: 'a', unlabelled: ['b']}, '/home');
    expect(config.run).toBe(preset);
    expect(config.about).toMatch(/^[^\n]{20,160}$/);
  }
  expect(() => readConfig({preset: 'imagenet'}, '/home')).toThrow(
    /No labelled pictures.*--labelled[^]*No unlabelled pictures.*--unlabelled/,
  );
});
