import {accessSync, constants} from 'node:fs';
import {expect, it} from 'vitest';
import {program} from './pupil.js';

it('is built as a program that may be executed, or npx pupil is refused', () => {
  expect(() => accessSync(program, constants.X_OK)).not.toThrow();
});
