// Runs every test, TypeScript and Python, and ends with one line that counts them all. Set-up comes first (npm test
// does it).
import {spawn} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import {ended} from './setup/ended.mjs';
import {python, root} from './setup/places.mjs';

const results = mkdtempSync(path.join(os.tmpdir(), 'pupil-test-'));

/** Runs a command with its output shown; resolves with its exit code. */
const run = (command, args, env = {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {...process.env, ...env},
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 128)));
  });

/**
 * A check that has no counts of its own counts as one test. Checks run side by side, so each says what it has to say at
 * its end.
 */
const check = async (name, command, args) => {
  const {code, output} = await ended(command, args);
  process.stdout.write(`${output}${name}: ${code === 0 ? 'clean' : `exit ${code}`}\n`);
  return code === 0 ? {passed: 1, failed: 0, skipped: 0} : {passed: 0, failed: 1, skipped: 0};
};

async function vitest() {
  const file = path.join(results, 'vitest.json');
  const code = await run(
    process.execPath,
    [
      path.join('node_modules', 'vitest', 'vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${file}`,
    ],
    {PUPIL_PYTHON: python},
  );
  const {
    numPassedTests: passed,
    numFailedTests: failed,
    numPendingTests: skipped,
    numFailedTestSuites: brokenSuites,
  } = JSON.parse(readFileSync(file, 'utf8'));
  return {passed, failed: failed > 0 || code === 0 ? failed : Math.max(1, brokenSuites), skipped};
}

async function pytest() {
  const file = path.join(results, 'pytest.xml');
  // Two side by side, as vitest's: starting processes leaves cores idle. `worksteal`, since some tests take a minute
  // and most no second.
  const code = await run(
    python,
    ['-m', 'pytest', '-q', '-rs', '-n', '2', '--dist', 'worksteal', 'test/trainer', `--junitxml=${file}`],
    {PYTHONPATH: root, PYTHONDONTWRITEBYTECODE: '1'},
  );
  const suite = /<testsuite [^>]*>/.exec(readFileSync(file, 'utf8'))?.[0] ?? '';
  const number = name => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
  const failed = number('failures') + number('errors');
  return {
    passed: number('tests') - failed - number('skipped'),
    failed: failed > 0 || code === 0 ? failed : 1,
    skipped: number('skipped'),
  };
}

try {
  const all = [
    ...(await Promise.all([
      check('types', process.execPath, [path.join('node_modules', 'typescript', 'bin', 'tsc'), '--noEmit']),
      check('eslint', process.execPath, [path.join('node_modules', 'eslint', 'bin', 'eslint.js'), '.']),
      check('prettier', process.execPath, [
        path.join('node_modules', 'prettier', 'bin', 'prettier.cjs'),
        '--check',
        '.',
      ]),
      check('ruff', python, ['-m', 'ruff', 'check', 'trainer', 'bench', 'test/trainer']),
      check('ruff format', python, ['-m', 'ruff', 'format', '--check', 'trainer', 'bench', 'test/trainer']),
      check('mypy', python, ['-m', 'mypy']),
    ])),
    await vitest(),
    await pytest(),
  ];
  const sum = name => all.reduce((total, one) => total + one[name], 0);
  process.stdout.write(
    `\n${sum('passed')} passed, ${sum('failed')} failed${sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : ''}\n`,
  );
  process.exitCode = sum('failed') > 0 ? 1 : 0;
} finally {
  rmSync(results, {recursive: true, force: true});
}
