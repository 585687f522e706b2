// Runs Python as the trainer has it: PUPIL_PYTHON, else the environment that scripts/setup.mjs makes.
//   node scripts/python.mjs -m bench.train
import {spawn} from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import {fileURLToPath} from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
export const venv = path.join(root, 'trainer', '.venv');
export const venvPython = path.join(venv, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
export const python = process.env.PUPIL_PYTHON || venvPython;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const child = spawn(python, process.argv.slice(2), {cwd: root, stdio: 'inherit'});
  // Ctrl-C reaches both; the child decides.
  process.on('SIGINT', () => {});
  child.on('error', error => {
    process.stderr.write(`Could not start ${python}: ${error.message}\nTo mend it: npm run setup, or set PUPIL_PYTHON to an interpreter that has torch 2.11 or newer.\n`);
    process.exitCode = 4;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1);
  });
}
