// Where set-up puts things and the program finds them: in a clone beside the code; for an installed package, whose own
// folder npm wipes at each install, in the user's data folder.
import {createHash} from 'node:crypto';
import {existsSync, readFileSync} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import {fileURLToPath} from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** A published package holds no sources. */
export const isClone = existsSync(path.join(root, 'src'));

/** What mends a set-up that is missing or broken; in a clone, in its folder. */
export const setupCommand = isClone ? 'npm run setup' : 'npx pupil setup';

export const read = file => (existsSync(path.join(root, file)) ? readFileSync(path.join(root, file)) : '');

const manifest = JSON.parse(read('package.json'));
export const {version} = manifest;

/** What something depends on, as one hash. */
export const digest = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
};

// By the XDG specification a relative path in its variables is to be ignored.
const given = process.env.XDG_DATA_HOME ?? '';
export const dataFolder = path.join(
  path.isAbsolute(given) ? given : path.join(os.homedir(), '.local', 'share'),
  'pupil',
);

/** A folder of its own for all that what lies in it depends on: versions side by side do not disturb each other. */
const keyed = (name, ...parts) =>
  path.join(dataFolder, `${name}-${digest(process.platform, process.arch, ...parts).slice(0, 12)}`);

export const venv = isClone ? path.join(root, 'trainer', '.venv') : keyed('python', read('trainer/requirements.txt'));
export const venvPython = path.join(venv, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
export const python = process.env.PUPIL_PYTHON || venvPython;

/**
 * The packages that come as machine code. Their install scripts download or compile, which fails where npm runs them
 * and a host cannot be reached, and breaks them where npm does not: so they are no dependencies of the package, and
 * set-up installs them.
 */
export const compiledPackages = Object.fromEntries(
  ['better-sqlite3', 'onnxruntime-node'].map(name => [name, manifest.devDependencies[name]]),
);

/** The folder whose `node_modules` holds them. */
export const compiledFolder = isClone
  ? root
  : keyed('node', JSON.stringify(compiledPackages), process.versions.modules);
