import {spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {describe, expect, it} from 'vitest';
import {temporaryFolder} from '../images/temporary-folder.js';

const module = new URL('../../dist/files/fail-point.js', import.meta.url).href;
/** Comes past two points, the first of them twice, in a process with arguments. */
const passing = (env: Readonly<Record<string, string>>) =>
  spawnSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import {passFailPoint} from '${module}'; for (const point of ['commit.before', 'commit.after', 'commit.before']) { console.log(point); passFailPoint(point); }`,
      'program',
      'a/score.json',
      'last',
    ],
    {encoding: 'utf8', env: {...process.env, ...env}},
  );

describe('a fail point', () => {
  it('counts anew for every task of a process', () => {
    const ended = spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import {failPointsOf, passFailPoint} from '${module}'; for (const task of ['pack', 'score', 'score']) { failPointsOf(task); for (const place of [1, 2]) { console.log(task, place); passFailPoint('commit.before'); } }`,
      ],
      {encoding: 'utf8', env: {...process.env, PUPIL_FAIL_POINT: 'commit.before:2:SIGKILL:score'}},
    );
    expect([ended.signal, ended.stdout]).toEqual(['SIGKILL', 'pack 1\npack 2\nscore 1\nscore 2\n']);
  });

  it.each([
    ['commit.before', 'SIGKILL', 1],
    ['commit.before:2', 'SIGKILL', 3],
    ['commit.after:1:SIGTERM', 'SIGTERM', 2],
    ['commit.after:1:SIGKILL:score.json', 'SIGKILL', 2],
    ['commit.after:1:SIGKILL:pack.json', null, 3],
    ['commit.after:2', null, 3],
    ['', null, 3],
  ])('asked for as "%s" ends the process by %s after so many places', (asked, signal, places) => {
    const ended = passing({PUPIL_FAIL_POINT: asked});
    expect([ended.signal, ended.stdout.trimEnd().split('\n').length]).toEqual([signal, places]);
  });

  it('tells of every passage where a file for that is named', async () => {
    const file = `${await temporaryFolder()}/passed`;
    passing({PUPIL_POINTS_PASSED: file});
    expect(readFileSync(file, 'utf8')).toBe(
      ['commit.before', 'commit.after', 'commit.before'].map(point => `${point} a/score.json last\n`).join(''),
    );
  });
});
