import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {expect, it} from 'vitest';

/** The interpreter with torch; the test runner names it. */
const python = process.env['PUPIL_PYTHON'] ?? '';
if (!existsSync(python))
  console.warn('SKIPPED: PUPIL_PYTHON names no interpreter with torch, so nothing real is tortured.');

// Counted, not timed: as much on a slow machine as on a fast one. npm run torture goes on for longer.
it.skipIf(!existsSync(python))(
  'killed, stopped, damaged: the same command comes to the same rankings, weights, scores and report, byte for byte',
  () => {
    const {status, stdout, stderr} = spawnSync(
      process.execPath,
      [fileURLToPath(new URL('torture/main.mjs', import.meta.url)), '--kills', '2', '--seed', '1'],
      {encoding: 'utf8'},
    );
    expect(status, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^([2-9]|\d\d+) kills .*\n0 differences in \d+ runs/m);
  },
  3_600_000,
);
