/** The image workers of a command, which stay from task to task: to start one takes longer than most small tasks. */
import {openChild, type Child, type ChildOptions} from './child.js';
import type {TaskName, TaskOf, TaskResult} from './protocol.js';
import {workerCommand, type WorkerNeeds} from './worker.js';

export interface Workers {
  /** Runs a task in a worker that has none, or in a new one; see Child. */
  readonly run: <Name extends TaskName>(
    needs: WorkerNeeds,
    task: TaskOf<Name>,
    options: ChildOptions,
  ) => Promise<TaskResult<Name>>;
  readonly close: () => Promise<void>;
}

/** Starts none until there is a task. The caller closes them. */
export function openWorkers(): Workers {
  /** Those without a task, by how they were started. */
  const idle = new Map<string, Child[]>();
  return {
    async run(needs, task, options) {
      const command = workerCommand(needs);
      const alike = idle.get(JSON.stringify(command)) ?? [];
      idle.set(JSON.stringify(command), alike);
      const worker = alike.pop() ?? openChild(command);
      try {
        return await worker.run(task, options);
      } finally {
        // A process that has used a GPU keeps some of its memory, which is the trainer's now.
        if (needs.device.startsWith('cuda')) await worker.close();
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
