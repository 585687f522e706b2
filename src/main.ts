#!/usr/bin/env node
/** The process edge: signals become AbortSignals, anything thrown becomes a message and an exit code. */
import {explainFault, requireAddressSpace} from './machine-fault.js';
import {ChildError, exitCodeFor, exitCodes, Interrupted, UserError} from './errors.js';
import {printableMessage} from './printable.js';
import {wrappedFor} from './report/wrap.js';

/** Whether the command makes something that it can go on from; the others only look. */
const leavesWork =
  ['orchestrate', 'demo', 'experiment', 'fetch', 'setup'].includes(process.argv[2] ?? '') &&
  !process.argv.includes('--dry-run');

/** Whether the command is for more than what it prints: it leaves work, or its exit code tells. */
const isMoreThanItsOutput = leavesWork || ['doctor', 'verify', 'rm'].includes(process.argv[2] ?? '');

const requested = new AbortController();
const forced = new AbortController();

/**
 * npm (`npm run demo`, `npx pupil`) hands on to its child the Ctrl-C that the terminal has sent to both: the second one
 * is no second press.
 */
const passesSignalsOn = process.env['npm_command'] !== undefined;
const SAME_PRESS_MS = 500;
let requestedAt = -Infinity;

function stopOn(signal: 'SIGINT' | 'SIGTERM'): void {
  if (requested.signal.aborted) {
    if (passesSignalsOn && performance.now() - requestedAt < SAME_PRESS_MS) return;
    forced.abort();
    // The children are gone at once; what they had published stays.
    setImmediate(() => process.exit(signal === 'SIGTERM' ? exitCodes.terminated : exitCodes.interrupted));
    return;
  }
  // Whoever draws on the terminal makes room for the message first.
  requestedAt = performance.now();
  requested.abort(new Interrupted(signal));
  process.stderr.write(
    `\n${leavesWork ? 'Stopping after this step' : 'Stopping'}; press Ctrl-C again to stop at once.\n`,
  );
}
process.on('SIGINT', () => stopOn('SIGINT'));
process.on('SIGTERM', () => stopOn('SIGTERM'));
// A closed pipe (`| head`) ends the output, and what was only to be shown; work goes on, and ends with its own code,
// whoever reads of it. A full disk behind it is a fault of the machine.
for (const [name, stream] of Object.entries({stdout: process.stdout, stderr: process.stderr})) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' && isMoreThanItsOutput) return;
    if (error.code === 'EPIPE') process.exit(exitCodes.done);
    if (name === 'stdout')
      process.stderr.write(
        `Cannot write to ${name}: ${error.message}. What was to be shown is incomplete; runs lose nothing by it.\n`,
      );
    process.exit(exitCodes.environment);
  });
}

// Of a library's that nobody waits for: undici's, where its WebAssembly gets no room.
process.on('uncaughtException', thrown => {
  fail(thrown);
  process.exit();
});

try {
  requireAddressSpace();
  // Here, so that what stands in the way of reading the program itself (too many open files, a library that does not
  // fit into memory) gets its words, too.
  const {runCommandLine} = await import('./cli.js');
  await runCommandLine(process.argv.slice(2), {requested: requested.signal, forced: forced.signal});
} catch (thrown) {
  fail(thrown);
}

function fail(thrown: unknown): void {
  const error = explainFault(thrown);
  process.exitCode = exitCodeFor(error);
  process.stderr.write(`${wrappedFor(process.stderr, describe(error))}\n`);
}

/** Messages quote what others wrote: names, values, lines of a log. */
function describe(error: unknown): string {
  return printableMessage(words(error));
}

function words(error: unknown): string {
  if (error instanceof Interrupted)
    return leavesWork ? 'Stopped. What was done is saved; the same command goes on from here.' : 'Stopped.';
  if (error instanceof UserError) return error.message;
  if (error instanceof ChildError) return [error.message, ...error.logTail.map(line => `  | ${line}`)].join('\n');
  return `This is a bug in pupil; please report it with what you did.\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}
