/** How the trainer is started: as one process, or by torchrun as several that train together. */
import type {ChildCommand} from './child.js';
import {packageFolder} from './python-env.js';

/** The processes of one training. */
export interface Processes {
  /** On each host. */
  readonly count: number;
  readonly hosts: number;
  /** Where the other hosts reach the first one, HOST:PORT. */
  readonly address: string;
}

const alone: Processes = {count: 1, hosts: 1, address: ''};

/** `python -m trainer` or `python -m trainer.launch`, with the package's folder as the only addition to its path. */
export const trainerCommand = (python: string, processes: Processes = alone): ChildCommand => ({
  name: 'trainer',
  file: python,
  args: processes.count * processes.hosts === 1 ? ['-m', 'trainer'] : ['-m', 'trainer.launch', ...torchrunOptions(processes, 0)],
  env: {PYTHONPATH: packageFolder, PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1'},
  cwd: packageFolder,
});

/** What is started on host `rank` (from 1), for people to copy. */
export const joinCommand = (python: string, processes: Processes, rank: number): string =>
  `cd ${packageFolder} && ${python} -m trainer.launch ${torchrunOptions(processes, rank).join(' ')}`;

function torchrunOptions({count, hosts, address}: Processes, rank: number): string[] {
  // The name of a lone machine need not have an address.
  if (hosts === 1) return ['--standalone', '--local-addr=127.0.0.1', `--nproc-per-node=${count}`];
  const [host = '', port = ''] = address.split(':');
  return [`--nnodes=${hosts}`, `--node-rank=${rank}`, `--master-addr=${host}`, `--master-port=${port}`, `--nproc-per-node=${count}`];
}
