// What became of an input: a kind that is counted, and a detail in which two judgements of the same input must agree.
import {createHash} from 'node:crypto';
import {explainFault} from '../../dist/machine-fault.js';
import {ChildError, exitCodes, UserError} from '../../dist/errors.js';

/** Kinds that are findings: the program would have ended with a stack, or done what it may not. */
export const findings = ['crash', 'wrote outside', 'died', 'hung', 'fills the memory', 'another verdict'];

const plain = (_, value) => (typeof value === 'bigint' ? `${value}n` : value instanceof Error ? value.message : value);

const digest = detail =>
  createHash('sha256')
    .update(JSON.stringify(detail, plain) ?? '')
    .digest('hex')
    .slice(0, 16);

/**
 * The outcome of a reader: `judge` gives `{kind, detail}`, or throws as the reader did. `detail` comes out as a text.
 */
export async function outcomeOf(judge) {
  try {
    const {kind, detail} = await judge();
    return {kind, detail: digest(detail)};
  } catch (thrown) {
    const error = explainFault(thrown);
    if ((error instanceof UserError && error.exitCode !== exitCodes.bug) || error instanceof ChildError)
      return {kind: `exit ${error.exitCode}`, detail: error.message.slice(0, 2000)};
    if (thrown?.code === 'ERR_ACCESS_DENIED') return {kind: 'wrote outside', detail: String(thrown.stack)};
    return {kind: 'crash', detail: String(thrown?.stack ?? thrown).slice(0, 4000)};
  }
}
