/** How the image worker is started: what must stand in its environment before its first library loads. */
import path from 'node:path';
import type {ChildCommand} from './child-process.js';
import {cudaLibraryFolders, packageFolder} from './python-env.js';
import {READS_AT_ONCE, SPARE_THREADS} from './worker-threads.js';

export interface WorkerNeeds {
  /** Decoders at work at once. */
  readonly threads: number;
  readonly device: string;
  /** The trainer's interpreter, beside whose torch CUDA's libraries lie. */
  readonly python: string | null;
}

export function workerCommand({threads, device, python}: WorkerNeeds): ChildCommand {
  const cuda = device.startsWith('cuda') && python !== null ? cudaLibraryFolders(python) : [];
  return {
    name: 'worker',
    file: process.execPath,
    // Node's own arguments as they were given to pupil, like those of a fork; NODE_OPTIONS is not passed on.
    args: [...process.execArgv, path.join(packageFolder, 'dist', 'worker', 'main.js')],
    env: {
      // Decoding and file reads share libuv's pool, which is sized once, at its first use.
      UV_THREADPOOL_SIZE: String(threads + READS_AT_ONCE + SPARE_THREADS),
      // glibc gives each thread an arena of its own, up to eight a core, and what pictures of all sizes leave behind
      // there is hardly ever given back.
      MALLOC_ARENA_MAX: process.env['MALLOC_ARENA_MAX'] ?? '2',
      ...(cuda.length > 0 && {
        LD_LIBRARY_PATH: [...cuda, process.env['LD_LIBRARY_PATH']].filter(Boolean).join(path.delimiter),
      }),
      // The provider would round matrix products to TF32, and the scores would differ from PyTorch's.
      ...(device.startsWith('cuda') && {NVIDIA_TF32_OVERRIDE: '0'}),
    },
    cwd: process.cwd(),
    stays: true,
  };
}
