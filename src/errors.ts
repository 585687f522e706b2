/** The errors that `pupil` throws on purpose, each with the exit code it ends the process with. */

/** Exit codes of the command line, a contract with scripts. */
export const exitCodes = {
  done: 0,
  bug: 1,
  usage: 2,
  data: 3,
  environment: 4,
  gate: 5,
  busy: 75,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Something the user can mend. The message says what was found, what was expected, and what to do; it is shown without a stack. */
export class UserError extends Error {
  override readonly name = 'UserError';
  constructor(
    readonly exitCode: ExitCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Wrong arguments or a config that cannot be run (exit 2). */
export const usageError = (message: string, options?: ErrorOptions) => new UserError(exitCodes.usage, message, options);
/** Data that cannot be read or does not fit together (exit 3). */
export const dataError = (message: string, options?: ErrorOptions) => new UserError(exitCodes.data, message, options);
/** Something missing on this machine: Python, a GPU, disk space (exit 4). */
export const environmentError = (message: string, options?: ErrorOptions) => new UserError(exitCodes.environment, message, options);
/** A check that guards the result did not pass: parity, failure rate, NaN scores (exit 5). */
export const gateError = (message: string, options?: ErrorOptions) => new UserError(exitCodes.gate, message, options);
/** Another process holds this run (exit 75). */
export const busyError = (message: string, options?: ErrorOptions) => new UserError(exitCodes.busy, message, options);

/** A stop that the user asked for; what was done so far is saved and the same command goes on. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  constructor(readonly signal: 'SIGINT' | 'SIGTERM' = 'SIGINT') {
    super('Interrupted');
  }
}

/** Throws the Interrupted that a stop was asked for with, where one was. */
export function throwIfStopped(signal: AbortSignal): void {
  if (signal.aborted) throw interruptionOf(signal);
}

/** The Interrupted that a stop was asked for with. */
export const interruptionOf = (signal: AbortSignal): Interrupted => (signal.reason instanceof Interrupted ? signal.reason : new Interrupted());

/** A child process that ended without a `finished` event. `logTail` holds its last lines of human text. */
export class ChildError extends Error {
  override readonly name = 'ChildError';
  constructor(
    message: string,
    readonly exitCode: ExitCode,
    readonly logTail: readonly string[],
    options?: ErrorOptions & {killedBy?: NodeJS.Signals; reason?: string},
  ) {
    super(message, options);
    this.killedBy = options?.killedBy;
    this.reason = options?.reason;
  }
  readonly killedBy: NodeJS.Signals | undefined;
  /** Its own, where it gave one: a FailureReason of the protocol. */
  readonly reason: string | undefined;
}

/** The exit code for anything that was thrown. */
export function exitCodeFor(error: unknown): ExitCode {
  if (error instanceof UserError || error instanceof ChildError) return error.exitCode;
  if (error instanceof Interrupted) return error.signal === 'SIGTERM' ? exitCodes.terminated : exitCodes.interrupted;
  return exitCodes.bug;
}

/**
 * What the system called a failure of the file system, such as `ENOENT`; null for any other error, which is a bug of ours. A path with a
 * NUL in it, from a config or a list, is refused by Node before the system could: EINVAL.
 */
export function systemCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  if (error.code === 'ERR_INVALID_ARG_VALUE' && error.message.includes('without null bytes')) return 'EINVAL';
  return 'syscall' in error ? String(error.code) : null;
}
