import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {expect, it} from 'vitest';

/** The interpreter with torch; the test runner names it. */
const python = process.env['PUPIL_PYTHON'] ?? '';
if (!existsSync(python)) console.warn('SKIPPED: PUPIL_PYTHON names no interpreter with torch, so no input is damaged.');

// Counted, not timed, and always the same cases: npm run fuzz draws more.
it.skipIf(!existsSync(python))(
  'whatever is damaged in what it reads, pupil answers in words for people, twice the same, and writes nowhere else',
  () => {
    const env = {...process.env};
    delete env['PUPIL_TEST_DATA'];
    const {status, stdout, stderr} = spawnSync(
      process.execPath,
      [fileURLToPath(new URL('fuzz/main.mjs', import.meta.url)), '--cases', '300', '--seed', '1'],
      {encoding: 'utf8', env},
    );
    expect(status, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/^found before: (\d+) of \1 as they should be$/m);
    expect(stdout).toMatch(/^(29\d|30\d) cases, 0 findings/m);
  },
  3_600_000,
);
