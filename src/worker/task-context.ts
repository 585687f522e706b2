/** What a task of the worker works with, besides what it is told. */
import type {Emit} from './events.js';

export interface TaskContext {
  /** What is read of stdin as it is asked for; see descriptors.ts. */
  readonly descriptors: () => AsyncIterable<string>;
  readonly signal: AbortSignal;
  readonly emit: Emit;
}
