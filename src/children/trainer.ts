/** How the trainer is started. */
import type {ChildCommand} from './child.js';
import {packageFolder} from './python-env.js';

/** `python -m trainer`, with the package's folder as the only addition to its path. */
export const trainerCommand = (python: string): ChildCommand => ({
  name: 'trainer',
  file: python,
  args: ['-m', 'trainer'],
  env: {PYTHONPATH: packageFolder, PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1'},
  cwd: packageFolder,
});
