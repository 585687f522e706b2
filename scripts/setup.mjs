// Sets pupil up in this clone.
//   node scripts/setup.mjs [--tests] [--bench]     also what the tests or the benchmarks need
//   node scripts/setup.mjs --build                 only what a build needs, and the build: what npm pack packs
//   PUPIL_PYTHON=/path/to/python         uses that interpreter (torch 2.11 or newer) instead of making an environment
import path from 'node:path';
import process from 'node:process';
import {setUp, SetupError} from './setup/set-up.mjs';

// What some need beside the trainer's own packages, in the same environment.
const forTests = process.argv.includes('--tests');
const forBench = forTests || process.argv.includes('--bench');
const files = [
  ...(forTests ? [path.join('trainer', 'requirements-tests.txt')] : []),
  ...(forBench ? [path.join('bench', 'requirements.txt')] : []),
];

try {
  await setUp({
    stream: process.stderr,
    extras: {name: forTests ? 'tests' : forBench ? 'bench' : '', files},
    withPython: !process.argv.includes('--build'),
  });
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`\nsetup stopped: ${error.message}\n`);
  process.exitCode = 4;
}
