/** Finds the Python that runs the trainer, and the CUDA libraries that come with it. */
import {existsSync, readdirSync} from 'node:fs';
import path from 'node:path';
import {isClone, root, setupCommand, venvPython} from '../../scripts/setup/places.mjs';
import {UserError} from '../errors.js';

/** The folder that holds `trainer/`: the package's own. */
export const packageFolder = root;

export {isClone, setupCommand};

/** torch before this release lacks what the export needs. */
export const OLDEST_TORCH = '2.11';

/**
 * The interpreter: `--python`, else PUPIL_PYTHON, else the virtual environment that set-up made. Throws (exit 4) where
 * it is not there.
 */
export function findPython(flag: string | undefined): string {
  const chosen = flag ?? process.env['PUPIL_PYTHON'];
  if (chosen !== undefined && chosen !== '') {
    // A bare name such as python3.12 is looked up on the PATH when it starts.
    if (chosen.includes(path.sep) && !existsSync(chosen)) {
      throw new UserError(
        'NOT_SET_UP',
        `There is no Python at ${chosen} (from ${flag === undefined ? 'PUPIL_PYTHON' : '--python'}). Give the path of an interpreter that has torch ${OLDEST_TORCH} or newer.`,
      );
    }
    return chosen;
  }
  if (!existsSync(venvPython)) {
    throw new UserError(
      'NOT_SET_UP',
      `The trainer's Python environment is missing (${venvPython}). Run ${setupCommand}${isClone ? ` in ${packageFolder}` : ''}, or name an interpreter that has torch ${OLDEST_TORCH} or newer with --python or PUPIL_PYTHON.`,
    );
  }
  return venvPython;
}

/** Whether a trainer's `runtime`, such as `torch 2.13.0, python 3.11.7`, is recent enough. */
export function isRecentTorch(runtime: string): boolean {
  const [major = 0, minor = 0] = (/torch (\d+)\.(\d+)/.exec(runtime)?.slice(1) ?? []).map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_TORCH.split('.').map(Number);
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}

/**
 * Library folders of the CUDA wheels beside this interpreter's torch, for onnxruntime's CUDA provider; none where there
 * are no such wheels.
 */
export function cudaLibraryFolders(python: string): string[] {
  const library = path.resolve(path.dirname(python), '..', 'lib');
  const subfolders = (folder: string): string[] =>
    existsSync(folder) ? readdirSync(folder).map(name => path.join(folder, name)) : [];
  return subfolders(library)
    .filter(folder => path.basename(folder).startsWith('python3'))
    .flatMap(folder => subfolders(path.join(folder, 'site-packages', 'nvidia')))
    .map(folder => path.join(folder, 'lib'))
    .filter(existsSync);
}
