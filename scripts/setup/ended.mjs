// Runs a command to its end, and keeps what it wrote.
import {spawn} from 'node:child_process';
import process from 'node:process';
import {root} from './places.mjs';

/**
 * Resolves with its exit code, null where it could not be started or was killed; what it wrote to stdout; and all it
 * wrote. `onLine` gets each line as it comes.
 */
export const ended = (command, args, {env = {}, cwd = root, signal, onLine = () => {}} = {}) =>
  new Promise(resolve => {
    const child = spawn(command, args, {cwd, signal, env: {...process.env, ...env}, stdio: ['ignore', 'pipe', 'pipe']});
    let stdout = '';
    let output = '';
    child.stdout.setEncoding('utf8').on('data', text => (stdout += text));
    for (const stream of [child.stdout, child.stderr]) {
      let unfinished = '';
      stream.setEncoding('utf8').on('data', text => {
        output += text;
        const lines = (unfinished + text).split('\n');
        unfinished = lines.pop();
        for (const line of lines) onLine(line);
      });
    }
    child.on('error', error => resolve({code: null, stdout: '', output: error.message}));
    child.on('close', code => resolve({code, stdout, output}));
  });
