// Sets pupil up in this folder: Node packages and the build, and beside them a Python environment for the trainer. Safe to run again; does only what is missing.
//   node scripts/setup.mjs [--tests] [--bench]     also what the tests or the benchmarks need
//   PUPIL_PYTHON=/path/to/python         uses that interpreter (torch 2.11 or newer) instead of making an environment
import {createHash} from 'node:crypto';
import {chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import {ended} from './ended.mjs';
import {python, root, venv, venvPython} from './python.mjs';

// What some need beside the trainer's own packages, in the same environment.
const forTests = process.argv.includes('--tests');
const forBench = forTests || process.argv.includes('--bench');
const extras = [...(forTests ? ['trainer/requirements-tests.txt'] : []), ...(forBench ? ['bench/requirements.txt'] : [])];
const started = performance.now();
let didSomething = false;

class SetupError extends Error {}

const say = text => process.stderr.write(`setup: ${text}\n`);

/** Runs a command whose output is shown only if it fails. */
async function run(command, args, {mend, env}) {
  const {code, output} = await ended(command, args, env);
  if (code === 0) return;
  throw new SetupError(`${command} ${args.join(' ')} failed.\n${output.trim().split('\n').slice(-25).join('\n')}\nTo mend it: ${mend}`);
}

const succeeds = async (command, args) => (await ended(command, args)).code === 0;

/** What a step depends on, as one hash; a step whose stamp holds it is done. */
const digest = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
};
const read = file => (existsSync(path.join(root, file)) ? readFileSync(path.join(root, file)) : '');
async function step(stamp, key, describe, work) {
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
  didSomething = true;
  const begun = performance.now();
  say(`${describe} ...`);
  rmSync(stamp, {force: true});
  await work();
  mkdirSync(path.dirname(stamp), {recursive: true});
  writeFileSync(stamp, key);
  say(`${describe}: done in ${((performance.now() - begun) / 1000).toFixed(0)} s`);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new SetupError(`Node ${process.versions.node} is too old; pupil needs 20.19 or newer.\nTo mend it: install Node 24 (or 22), and run this again.`);
  }
}

async function installNodePackages() {
  const key = digest(read('package.json'), read('package-lock.json'), process.version, process.arch);
  await step(path.join(root, 'node_modules', '.pupil-setup'), key, 'Node packages (better-sqlite3 may compile for a minute or two)', async () => {
    // A compile needs Node's headers; where they lie beside Node, nothing has to be downloaded for it.
    const prefix = path.dirname(path.dirname(process.execPath));
    const headers = existsSync(path.join(prefix, 'include', 'node', 'node.h')) ? {npm_package_config_node_gyp_nodedir: prefix} : {};
    await run('npm', ['ci', '--no-audit', '--no-fund'], {
      env: {...headers, NODE_ENV: 'development'},
      mend: 'check the network and npm\'s settings (npm config list), have a C++ compiler at hand, and run: npm ci',
    });
  });
}

function sourceFiles(folder) {
  return readdirSync(path.join(root, folder), {recursive: true, withFileTypes: true})
    .filter(entry => entry.isFile())
    .map(entry => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

async function build() {
  const files = [...sourceFiles('src'), path.join(root, 'tsconfig.json'), path.join(root, 'tsconfig.build.json')];
  const key = digest(...files.map(file => `${path.relative(root, file)} ${createHash('sha256').update(readFileSync(file)).digest('hex')}`), read('package-lock.json'));
  await step(path.join(root, 'dist', '.pupil-setup'), key, 'build', async () => {
    rmSync(path.join(root, 'dist'), {recursive: true, force: true});
    await run(process.execPath, [path.join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json'], {mend: 'npx tsc -p tsconfig.build.json, and read what it says'});
    // npx runs it as a program; npm makes it one only the first time that it meets this folder.
    chmodSync(path.join(root, 'dist', 'main.js'), 0o755);
  });
}

const hasNvidiaGpu = async () => process.platform === 'linux' && (await succeeds('nvidia-smi', ['-L']));

async function findBasePython() {
  for (const candidate of ['python3', 'python3.13', 'python3.12', 'python3.11', 'python']) {
    const {code, stdout} = await ended(candidate, ['-c', 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])']);
    const [major, minor] = stdout.trim().split('.').map(Number);
    if (code === 0 && major === 3 && minor >= 11) return candidate;
  }
  throw new SetupError('Found no Python 3.11 or newer with venv and pip.\nTo mend it: install one (Debian and Ubuntu: apt-get install python3 python3-venv), or set PUPIL_PYTHON to an interpreter that has torch 2.11 or newer.');
}

const requirements = name => path.join('trainer', name);

/** The version that a requirements file pins. */
function pinned(name, file = requirements('requirements.txt')) {
  const found = new RegExp(`^${name}==(\\S+)`, 'm').exec(readFileSync(path.join(root, file), 'utf8'));
  if (!found) throw new SetupError(`${file} pins no ${name}.\nTo mend it: git checkout ${file}`);
  return found[1];
}

async function installTorch() {
  const version = pinned('torch');
  const pip = ['-m', 'pip', 'install', '--disable-pip-version-check'];
  if (await hasNvidiaGpu()) {
    say('found an NVIDIA GPU: taking the CUDA build of torch (several GB)');
    await run(venvPython, [...pip, `torch==${version}`], {mend: `${venvPython} -m pip install torch==${version}`});
    return;
  }
  // The CPU build is a tenth of the size. Only some indexes have it, so ask for it by its local version first.
  const extra = process.env.PUPIL_TORCH_INDEX ? ['--index-url', process.env.PUPIL_TORCH_INDEX] : [];
  if (process.platform === 'linux') {
    if (await succeeds(venvPython, [...pip, ...extra, '--no-deps', `torch==${version}+cpu`])) return;
    say(`no CPU build of torch ${version} is on offer: taking the full one (several GB). PUPIL_TORCH_INDEX can name an index that has CPU builds.`);
  }
  await run(venvPython, [...pip, ...extra, `torch==${version}`], {mend: `${venvPython} -m pip install torch==${version}`});
}

async function makePythonEnvironment() {
  const files = [requirements('requirements.txt'), ...extras];
  const key = digest(...files.map(read));
  const stamp = path.join(venv, `.pupil-setup${forTests ? '-tests' : forBench ? '-bench' : ''}`);
  await step(stamp, key, 'Python environment for the trainer', async () => {
    if (!existsSync(venvPython)) await run(await findBasePython(), ['-m', 'venv', venv], {mend: 'install python3-venv, or set PUPIL_PYTHON to an interpreter that has torch 2.11 or newer'});
    if (!(await succeeds(venvPython, ['-c', `import torch, sys; sys.exit(torch.__version__.split("+")[0] != "${pinned('torch')}")`]))) await installTorch();
    const args = files.flatMap(file => ['-r', file]);
    await run(venvPython, ['-m', 'pip', 'install', '--disable-pip-version-check', ...args], {mend: `${venvPython} -m pip install ${args.join(' ')}`});
  });
}

/** An interpreter of the user's own is looked at, never changed. */
async function checkGivenPython(python) {
  const look = 'import sys, torch, numpy, safetensors, onnx, onnxscript; print(torch.__version__); sys.exit(tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2]) < (2, 11))';
  const key = digest(python, existsSync(python) ? String(statSync(python).mtimeMs) : '');
  await step(path.join(root, 'trainer', '.given-python-setup'), key, `looking at ${python}`, async () => {
    await run(python, ['-c', look], {mend: `${python} -m pip install "torch>=2.11" ${['numpy', 'safetensors', 'onnx', 'onnxscript'].map(name => `${name}==${pinned(name)}`).join(' ')}, or unset PUPIL_PYTHON`});
  });
}

/** onnxruntime's CUDA provider: built for CUDA 13 from the same commit, in the Python package of the same version; beside the Node binding it finds its libraries in torch's environment. */
async function installCudaProvider() {
  if (!(await hasNvidiaGpu())) return;
  const {version} = JSON.parse(read('node_modules/onnxruntime-node/package.json'));
  const binding = path.join(root, 'node_modules', 'onnxruntime-node', 'bin', 'napi-v6', 'linux', process.arch);
  await step(path.join(binding, '.pupil-cuda'), version, `CUDA provider ${version} for onnxruntime`, async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'pupil-cuda-'));
    try {
      await run(python, ['-m', 'pip', 'download', '--disable-pip-version-check', '--no-deps', '--dest', folder, `onnxruntime-gpu==${version}`], {mend: `${python} -m pip download --no-deps onnxruntime-gpu==${version}; without it the GPU trains, and scoring needs --device cpu`});
      const wheel = readdirSync(folder).find(name => name.endsWith('.whl'));
      await run(python, ['-m', 'zipfile', '-e', path.join(folder, wheel), folder], {mend: 'check the free space in the temporary folder (TMPDIR)'});
      for (const library of ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so']) copyFileSync(path.join(folder, 'onnxruntime', 'capi', library), path.join(binding, library));
    } finally {
      rmSync(folder, {recursive: true, force: true});
    }
  });
}

const setUpNode = async () => {
  await installNodePackages();
  await build();
};
const setUpPython = async () => await (process.env.PUPIL_PYTHON ? checkGivenPython(process.env.PUPIL_PYTHON) : makePythonEnvironment());

try {
  checkNode();
  // What is under way when the other side fails is finished: it need not be done again.
  const sides = await Promise.allSettled([setUpNode(), setUpPython()]);
  const failed = sides.filter(({status}) => status === 'rejected').map(({reason}) => reason);
  const bug = failed.find(error => !(error instanceof SetupError));
  if (bug !== undefined) throw bug;
  if (failed.length > 0) throw new SetupError(failed.map(({message}) => message).join('\n\n'));
  await installCudaProvider();
  if (didSomething) say(`ready in ${((performance.now() - started) / 1000).toFixed(0)} s. Try: npx pupil --help`);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  process.stderr.write(`\nsetup stopped: ${error.message}\n`);
  process.exitCode = 4;
}
