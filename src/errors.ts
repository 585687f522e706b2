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

/**
 * What can go wrong, under names that scripts may rely on, each with the exit code that it ends a command with: wrong
 * arguments, sources or settings (2), data that cannot be read or does not fit together (3), something about this
 * machine (4), a check that guards the result (5), somebody else who is at it (75).
 */
export const errorCodes = {
  BUG: exitCodes.bug,

  BAD_ARGUMENTS: exitCodes.usage,
  BAD_CONFIG: exitCodes.usage,
  BAD_HOME: exitCodes.usage,
  BAD_SOURCE: exitCodes.usage,
  FOREIGN_FILES: exitCodes.usage,
  MISSING_STAGE: exitCodes.usage,
  NO_SUCH_CLASS: exitCodes.usage,
  NO_SUCH_DATASET: exitCodes.usage,
  NO_SUCH_IMAGE: exitCodes.usage,
  NO_SUCH_RUN: exitCodes.usage,
  RUN_IN_USE: exitCodes.usage,
  STALE_STAGE: exitCodes.usage,

  BAD_CLASSES: exitCodes.data,
  BAD_DATA: exitCodes.data,
  BAD_MODEL: exitCodes.data,
  BAD_TEACHER: exitCodes.data,
  CHILD_STUCK: exitCodes.data,
  DAMAGED_ARCHIVE: exitCodes.data,
  DAMAGED_DATASET: exitCodes.data,
  DAMAGED_FILE: exitCodes.data,
  NO_CANDIDATES: exitCodes.data,
  NO_RESULT_YET: exitCodes.data,
  OTHER_DATA: exitCodes.data,
  POOL_EMPTY: exitCodes.data,
  STALE_SELECTION: exitCodes.data,
  TOO_FEW_LABELS: exitCodes.data,
  UNREADABLE_PICTURES: exitCodes.data,
  UNREADABLE_SOURCE: exitCodes.data,

  CHILD_FAILED: exitCodes.environment,
  DAMAGED_DATABASE: exitCodes.environment,
  DAMAGED_RESULT: exitCodes.environment,
  DISK_FULL: exitCodes.environment,
  LOST_DATABASE: exitCodes.environment,
  MACHINE_FAULT: exitCodes.environment,
  NO_NETWORK: exitCodes.environment,
  NOT_SET_UP: exitCodes.environment,
  OTHER_VERSION: exitCodes.environment,
  OUT_OF_MEMORY: exitCodes.environment,
  SETUP_FAILED: exitCodes.environment,
  UNFIT_DEVICE: exitCodes.environment,
  UNFIT_MACHINE: exitCodes.environment,
  UNREADABLE_FILES: exitCodes.environment,
  NO_ACCESS: exitCodes.environment,

  BAD_SCORES: exitCodes.gate,
  CHECK_FAILED: exitCodes.gate,
  NO_PARITY: exitCodes.gate,
  SATURATED_TEACHER: exitCodes.gate,
  TOO_MANY_FAILURES: exitCodes.gate,
  TRAINING_DIVERGED: exitCodes.gate,

  BUSY_DATABASE: exitCodes.busy,
  BUSY_FETCH: exitCodes.busy,
  BUSY_RUN: exitCodes.busy,

  INTERRUPTED: exitCodes.interrupted,
  TERMINATED: exitCodes.terminated,
} as const satisfies Readonly<Record<string, ExitCode>>;

export type ErrorCode = keyof typeof errorCodes;
export const errorCodeNames = Object.keys(errorCodes) as readonly ErrorCode[];

/**
 * Something the user can mend. The message says what was found, what was expected, and what to do; it is shown without
 * a stack.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  get exitCode(): ExitCode {
    return errorCodes[this.code];
  }
}

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
export const interruptionOf = (signal: AbortSignal): Interrupted =>
  signal.reason instanceof Interrupted ? signal.reason : new Interrupted();

/** A child process that ended without a `finished` event. `logTail` holds its last lines of human text. */
export class ChildError extends Error {
  override readonly name = 'ChildError';
  readonly killedBy: NodeJS.Signals | undefined;
  /** Its own, where it gave one: a FailureReason of the protocol. */
  readonly reason: string | undefined;
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly logTail: readonly string[],
    options?: ErrorOptions & {killedBy?: NodeJS.Signals; reason?: string},
  ) {
    super(message, options);
    this.killedBy = options?.killedBy;
    this.reason = options?.reason;
  }

  get exitCode(): ExitCode {
    return errorCodes[this.code];
  }
}

/** The code for anything that was thrown. */
export function errorCodeOf(error: unknown): ErrorCode {
  if (error instanceof UserError || error instanceof ChildError) return error.code;
  if (error instanceof Interrupted) return error.signal === 'SIGTERM' ? 'TERMINATED' : 'INTERRUPTED';
  return 'BUG';
}

/** The exit code for anything that was thrown. */
export const exitCodeFor = (error: unknown): ExitCode => errorCodes[errorCodeOf(error)];

/**
 * What the system called a failure of the file system, such as `ENOENT`; null for any other error, which is a bug of
 * ours. A path with a NUL in it, from a config or a list, is refused by Node before the system could: EINVAL.
 */
export function systemCode(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null;
  if (error.code === 'ERR_INVALID_ARG_VALUE' && error.message.includes('without null bytes')) return 'EINVAL';
  return 'syscall' in error ? String(error.code) : null;
}
