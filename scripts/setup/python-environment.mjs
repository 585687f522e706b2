// Makes the trainer's Python environment, or looks at the interpreter that PUPIL_PYTHON names.
import {existsSync, mkdirSync, readFileSync, statSync} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import {ended} from './ended.mjs';
import {dataFolder, digest, isClone, read, root, venv, venvPython} from './places.mjs';
import {SetupError} from './steps.mjs';

const requirements = path.join('trainer', 'requirements.txt');
const PIP = ['-m', 'pip', 'install', '--disable-pip-version-check'];

export const hasNvidiaGpu = async () => process.platform === 'linux' && (await ended('nvidia-smi', ['-L'])).code === 0;

async function findBasePython() {
  for (const candidate of ['python3', 'python3.13', 'python3.12', 'python3.11', 'python']) {
    const {code, stdout} = await ended(candidate, [
      '-c',
      'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])',
    ]);
    const [major, minor] = stdout.trim().split('.').map(Number);
    if (code === 0 && major === 3 && minor >= 11) return candidate;
  }
  throw new SetupError(
    'Found no Python 3.11 or newer with venv and pip.\nTo mend it: install one (Debian and Ubuntu: apt-get install python3 python3-venv), or set PUPIL_PYTHON to an interpreter that has torch 2.11 or newer.',
  );
}

/** The version that the trainer's requirements pin. */
function pinned(name) {
  const found = new RegExp(`^${name}==(\\S+)`, 'm').exec(readFileSync(path.join(root, requirements), 'utf8'));
  if (!found)
    throw new SetupError(
      `${requirements} pins no ${name}.\nTo mend it: install pupil anew, or git checkout ${requirements}`,
    );
  return found[1];
}

async function installTorch({run, succeeds, say}) {
  const version = pinned('torch');
  if (await hasNvidiaGpu()) {
    say('found an NVIDIA GPU: taking the CUDA build of torch (several GB)');
    await run(venvPython, [...PIP, `torch==${version}`], {mend: `${venvPython} -m pip install torch==${version}`});
    return;
  }
  // The CPU build is a tenth of the size. Only some indexes have it, so ask for it by its local version first.
  const extra = process.env.PUPIL_TORCH_INDEX ? ['--index-url', process.env.PUPIL_TORCH_INDEX] : [];
  if (process.platform === 'linux') {
    if (await succeeds(venvPython, [...PIP, ...extra, '--no-deps', `torch==${version}+cpu`])) return;
    say(
      `no CPU build of torch ${version} is on offer: taking the full one (several GB). PUPIL_TORCH_INDEX can name an index that has CPU builds.`,
    );
  }
  await run(venvPython, [...PIP, ...extra, `torch==${version}`], {
    mend: `${venvPython} -m pip install torch==${version}`,
  });
}

/** `extras`: requirements files beside the trainer's own, and a name for the set of them. */
export async function makePythonEnvironment(step, extras) {
  const files = [requirements, ...extras.files];
  const stamp = path.join(venv, `.pupil-setup${extras.name === '' ? '' : `-${extras.name}`}`);
  await step(stamp, digest(...files.map(read)), 'Python environment', async task => {
    const {run, succeeds} = task;
    if (!existsSync(venvPython)) {
      const base = await findBasePython();
      mkdirSync(path.dirname(venv), {recursive: true});
      await run(base, ['-m', 'venv', venv], {
        mend: 'install python3-venv, or set PUPIL_PYTHON to an interpreter that has torch 2.11 or newer',
      });
    }
    if (
      !(await succeeds(venvPython, [
        '-c',
        `import torch, sys; sys.exit(torch.__version__.split("+")[0] != "${pinned('torch')}")`,
      ]))
    )
      await installTorch(task);
    const args = files.flatMap(file => ['-r', path.join(root, file)]);
    await run(venvPython, [...PIP, ...args], {mend: `${venvPython} -m pip install ${args.join(' ')}`});
  });
}

/** An interpreter of the user's own is looked at, never changed. */
export async function checkGivenPython(step, python) {
  const look =
    'import sys, torch, numpy, safetensors, onnx, onnxscript; print(torch.__version__); sys.exit(tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2]) < (2, 11))';
  const key = digest(python, existsSync(python) ? String(statSync(python).mtimeMs) : '');
  const stamp = isClone
    ? path.join(root, 'trainer', '.given-python-setup')
    : path.join(dataFolder, '.given-python-setup');
  await step(stamp, key, `looking at ${python}`, async ({run}) => {
    await run(python, ['-c', look], {
      mend: `${python} -m pip install "torch>=2.11" ${['numpy', 'safetensors', 'onnx', 'onnxscript'].map(name => `${name}==${pinned(name)}`).join(' ')}, or unset PUPIL_PYTHON`,
    });
  });
}
