// Installs the Node side: in a clone all packages and the build, for an installed package those that come as machine
// code (npm has put the others beside it).
import {createHash} from 'node:crypto';
import {chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import {compiledFolder, compiledPackages, digest, read, root} from './places.mjs';
import {SetupError} from './steps.mjs';

export function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new SetupError(
      `Node ${process.versions.node} is too old; pupil needs 20.19 or newer.\nTo mend it: install Node 24 (or 22), and run this again.`,
    );
  }
}

// npm says what it is about at this level; onnxruntime-node's script would fetch a CUDA provider of another CUDA than
// ours (cuda-provider.mjs).
const QUIET = ['--no-audit', '--no-fund', '--loglevel=info'];
const NO_CUDA_12 = {ONNXRUNTIME_NODE_INSTALL: 'skip'};

/**
 * For a compile, on all cores. It needs Node's headers; where they lie beside Node, nothing has to be downloaded for
 * it.
 */
function compiling() {
  const prefix = path.dirname(path.dirname(process.execPath));
  return {
    JOBS: String(os.availableParallelism()),
    ...(existsSync(path.join(prefix, 'include', 'node', 'node.h')) && {npm_package_config_node_gyp_nodedir: prefix}),
  };
}

export async function installNodePackages(step) {
  // Of package.json what npm installs by: another script or description is no reason to compile SQLite again.
  const {dependencies, devDependencies, allowScripts} = JSON.parse(read('package.json'));
  const key = digest(
    JSON.stringify({dependencies, devDependencies, allowScripts}),
    read('package-lock.json'),
    process.version,
    process.arch,
  );
  await step(path.join(root, 'node_modules', '.pupil-setup'), key, 'Node packages', async ({run}) => {
    await run('npm', ['ci', ...QUIET], {
      env: {...compiling(), ...NO_CUDA_12, NODE_ENV: 'development'},
      mend: "check the network and npm's settings (npm config list), have a C++ compiler at hand, and run: npm ci",
    });
  });
}

/**
 * In a project of their own, whose package.json lets only better-sqlite3's script run, as npm 11 and 12 want it said.
 */
export async function installCompiledPackages(step) {
  const project = {
    private: true,
    dependencies: compiledPackages,
    allowScripts: {'better-sqlite3': true, 'onnxruntime-node': false},
  };
  const key = digest(JSON.stringify(project), process.version);
  await step(path.join(compiledFolder, '.pupil-setup'), key, 'SQLite and onnxruntime', async ({run}) => {
    mkdirSync(compiledFolder, {recursive: true});
    writeFileSync(path.join(compiledFolder, 'package.json'), `${JSON.stringify(project, null, 2)}\n`);
    await run('npm', ['install', '--prefix', compiledFolder, ...QUIET], {
      cwd: compiledFolder,
      env: {...compiling(), ...NO_CUDA_12},
      mend: `check the network and npm's settings (npm config list), have make and a C++ compiler at hand (Debian and Ubuntu: apt-get install build-essential), and run this again`,
    });
  });
}

function sourceFiles(folder) {
  return readdirSync(path.join(root, folder), {recursive: true, withFileTypes: true})
    .filter(entry => entry.isFile())
    .map(entry => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

export async function build(step) {
  const files = [...sourceFiles('src'), path.join(root, 'tsconfig.json'), path.join(root, 'tsconfig.build.json')];
  const key = digest(
    ...files.map(
      file => `${path.relative(root, file)} ${createHash('sha256').update(readFileSync(file)).digest('hex')}`,
    ),
    read('package-lock.json'),
  );
  await step(path.join(root, 'dist', '.pupil-setup'), key, 'build', async ({run}) => {
    rmSync(path.join(root, 'dist'), {recursive: true, force: true});
    await run(process.execPath, [path.join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json'], {
      mend: 'npx tsc -p tsconfig.build.json, and read what it says',
    });
    // npx runs it as a program; npm makes it one only the first time that it meets this folder.
    chmodSync(path.join(root, 'dist', 'main.js'), 0o755);
  });
}
