// Adds onnxruntime's CUDA provider where there is an NVIDIA GPU: built for CUDA 13 from the same commit, it lies in the
// Python package of the same version, and beside the Node binding finds its libraries in torch's environment.
import {copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import {compiledFolder, python} from './places.mjs';
import {hasNvidiaGpu} from './python-environment.mjs';

export async function installCudaProvider(step) {
  if (!(await hasNvidiaGpu())) return;
  const onnxruntime = path.join(compiledFolder, 'node_modules', 'onnxruntime-node');
  const {version} = JSON.parse(readFileSync(path.join(onnxruntime, 'package.json'), 'utf8'));
  const binding = path.join(onnxruntime, 'bin', 'napi-v6', 'linux', process.arch);
  await step(path.join(binding, '.pupil-cuda'), version, `CUDA provider ${version} for onnxruntime`, async ({run}) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'pupil-cuda-'));
    try {
      await run(
        python,
        [
          '-m',
          'pip',
          'download',
          '--disable-pip-version-check',
          '--no-deps',
          '--dest',
          folder,
          `onnxruntime-gpu==${version}`,
        ],
        {
          mend: `${python} -m pip download --no-deps onnxruntime-gpu==${version}; without it the GPU trains, and scoring needs --device cpu`,
        },
      );
      const wheel = readdirSync(folder).find(name => name.endsWith('.whl'));
      await run(python, ['-m', 'zipfile', '-e', path.join(folder, wheel), folder], {
        mend: 'check the free space in the temporary folder (TMPDIR)',
      });
      for (const library of ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so'])
        copyFileSync(path.join(folder, 'onnxruntime', 'capi', library), path.join(binding, library));
    } finally {
      rmSync(folder, {recursive: true, force: true});
    }
  });
}
