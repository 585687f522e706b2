/**
 * Where tasks are run. Here they run in child processes of this one; another Executor could run them elsewhere, since a
 * task says all that it needs, on a disk that both machines see.
 */
import {openChild, runChild, type Child, type ChildOptions} from './child.js';
import type {TaskName, TaskOf, TaskResult} from './protocol.js';
import {trainerCommand, type Processes} from './trainer.js';
import {workerCommand, type WorkerNeeds} from './worker.js';

/** The program that does a task, and what it needs to be started with. */
export type Program =
  | ({readonly name: 'worker'} & WorkerNeeds)
  | {readonly name: 'trainer'; readonly python: string; readonly processes?: Processes | undefined};

export interface Executor {
  /** Runs a task to its end; see Child for what it throws. */
  readonly run: <Name extends TaskName>(
    program: Program,
    task: TaskOf<Name>,
    options: ChildOptions,
  ) => Promise<TaskResult<Name>>;
  readonly close: () => Promise<void>;
}

/**
 * Starts a process for each task of the trainer. An image worker stays for the next task that one is needed for: to start
 * it takes longer than most small tasks. The caller closes it.
 */
export function openExecutor(): Executor {
  /** Workers without a task, by how they were started. */
  const idle = new Map<string, Child[]>();
  return {
    async run(program, task, options) {
      if (program.name === 'trainer')
        return await runChild(trainerCommand(program.python, program.processes), task, options);
      const command = workerCommand(program);
      const alike = idle.get(JSON.stringify(command)) ?? [];
      idle.set(JSON.stringify(command), alike);
      const worker = alike.pop() ?? openChild(command);
      try {
        return await worker.run(task, options);
      } finally {
        // A process that has used a GPU keeps some of its memory, which is the trainer's now.
        if (program.device.startsWith('cuda')) await worker.close();
        else alike.push(worker);
      }
    },
    async close() {
      const all = [...idle.values()].flat();
      idle.clear();
      await Promise.all(all.map(worker => worker.close()));
    },
  };
}
