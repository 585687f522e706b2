// Runs Python as the trainer has it: PUPIL_PYTHON, else the environment that set-up makes.
//   node scripts/python.mjs -m bench.train
import {spawn} from 'node:child_process';
import process from 'node:process';
import {python, root} from './setup/places.mjs';

const child = spawn(python, process.argv.slice(2), {cwd: root, stdio: 'inherit'});
// Ctrl-C reaches both; the child decides.
process.on('SIGINT', () => {});
child.on('error', error => {
  process.stderr.write(
    `Could not start ${python}: ${error.message}\nTo mend it: npm run setup, or set PUPIL_PYTHON to an interpreter that has torch 2.11 or newer.\n`,
  );
  process.exitCode = 4;
});
child.on('exit', (code, signal) => {
  process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1);
});
