/** Something the user can mend; the message says how. */
export class SetupError extends Error {}
export function setUp(options: {readonly stream: NodeJS.WriteStream; readonly signal: AbortSignal}): Promise<boolean>;
