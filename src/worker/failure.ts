/** How a task of the image worker fails: what it tells its parent, and the exit code it ends with. */
import type {FailureReason} from '../children/protocol.js';
import {exitCodes as commandExitCodes, UserError, type ErrorCode} from '../errors.js';
import {explainFault} from '../machine-fault.js';

/** A failure that the task foresaw. */
export class WorkerFailure extends Error {
  override readonly name = 'WorkerFailure';
  constructor(
    readonly reason: FailureReason,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export const exitCodes = {finished: 0, config: 64, data: 65, bug: 70, interrupted: 75} as const;

const exitCodeOf = (reason: FailureReason) =>
  reason === 'config' ? exitCodes.config : reason === 'data' || reason === 'model' ? exitCodes.data : exitCodes.bug;

/** What to report for anything that a task threw. A bug keeps its stack. */
export function describeFailure(thrown: unknown): {
  reason: FailureReason;
  message: string;
  exitCode: number;
  code?: ErrorCode;
} {
  const error = explainFault(thrown);
  const describe = (reason: FailureReason, message: string) => ({reason, message, exitCode: exitCodeOf(reason)});
  if (error instanceof WorkerFailure) return describe(error.reason, error.message);
  if (error instanceof UserError)
    return {
      ...describe(error.exitCode === commandExitCodes.environment ? 'disk-full' : 'data', error.message),
      code: error.code,
    };
  if (error instanceof Error) return describe('bug', error.stack ?? error.message);
  return describe('bug', String(error));
}
