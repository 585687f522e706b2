/**
 * What children get of the user's environment: what finds programs and files, and what sets libraries up; no secrets,
 * and nothing that runs code in an interpreter.
 */

/**
 * Left out with the rest: tokens and keys, the proxies (no child goes beyond the hosts of its training), and what makes
 * Python, Node or the loader run something first (PYTHONPATH, PYTHONSTARTUP, PYTHONHOME, NODE_OPTIONS, LD_PRELOAD,
 * DYLD_INSERT_LIBRARIES). It is no wall: a program of the same user can read the environment of the one that started
 * it.
 */
const names = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'LANGUAGE',
  'TZ',
  'TMPDIR',
  'TMP',
  'TEMP',
  'XDG_CACHE_HOME',
  'XDG_DATA_HOME',
  'LD_LIBRARY_PATH',
  'DYLD_LIBRARY_PATH',
  'DYLD_FALLBACK_LIBRARY_PATH',
  'CC',
  'CXX',
]);
/** Settings of torch and the libraries under it, of drivers, and pupil's own. */
const prefixes = [
  'LC_',
  'CUDA_',
  'NVIDIA_',
  'NCCL_',
  'GLOO_',
  'OMP_',
  'GOMP_',
  'KMP_',
  'MKL_',
  'ONEDNN_',
  'DNNL_',
  'ATEN_',
  'TORCH_',
  'TORCHINDUCTOR_',
  'PYTORCH_',
  'PUPIL_',
];

/** The variables that a child may have, of `all`. */
export const allowedEnvironment = (all: Readonly<NodeJS.ProcessEnv>): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(all).filter(([name]) => names.has(name) || prefixes.some(prefix => name.startsWith(prefix))),
  );
