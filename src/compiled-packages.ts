/**
 * Loads the packages that come as machine code from where set-up installed them: they are no dependencies of the
 * published package, since their install scripts would run or be refused there.
 */
import {createRequire} from 'node:module';
import path from 'node:path';
import type Database from 'better-sqlite3';
import type * as Onnxruntime from 'onnxruntime-node';
import {compiledFolder, setupCommand} from '../scripts/setup/places.mjs';
import {UserError} from './errors.js';

const requireCompiled = createRequire(path.join(compiledFolder, 'package.json'));

function load(name: string): unknown {
  try {
    return requireCompiled(name);
  } catch (cause) {
    const [reason = ''] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
    throw new UserError(
      'NOT_SET_UP',
      `pupil is not set up: ${name} cannot be loaded (${reason}). Run ${setupCommand}.`,
      {cause},
    );
  }
}

/** Throws (exit 4) where set-up has not run. */
export const loadSqlite = (): typeof Database => load('better-sqlite3') as typeof Database;
/** Throws (exit 4) where set-up has not run. */
export const loadOnnxruntime = (): typeof Onnxruntime => load('onnxruntime-node') as typeof Onnxruntime;
export const onnxruntimePackage = (): unknown => load('onnxruntime-node/package.json');
