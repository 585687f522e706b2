import type {Progress} from './progress.mjs';

interface Task {
  run: (file: string, args: readonly string[], options: {readonly mend: string}) => Promise<void>;
}
export function stepsOf(options: {readonly progress: Progress; readonly signal?: AbortSignal}): {
  step: (stamp: string, key: string, task: string, work: (task: Task) => Promise<void>) => Promise<void>;
  ranAny: () => boolean;
};
