/** How the trainer is started: as one process, or by trainer/launch.py as several that train together. */
import type {ChildCommand} from './child-process.js';
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
  args:
    processes.count * processes.hosts === 1 ? ['-m', 'trainer'] : ['-m', 'trainer.launch', ...launchOptions(processes)],
  env: {PYTHONPATH: packageFolder, PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1'},
  cwd: packageFolder,
});

/** What is started on host `rank` (from 1), for people to copy. */
export const joinCommand = (python: string, processes: Processes, rank: number): string =>
  `cd ${packageFolder} && ${python} -B -m trainer.launch ${[...launchOptions(processes), `--host=${rank}`].join(' ')}`;

const launchOptions = ({count, hosts, address}: Processes): string[] => [
  `--processes=${count}`,
  ...(hosts > 1 ? [`--hosts=${hosts}`, `--address=${address}`] : []),
];
