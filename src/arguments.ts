/**
 * Judges arguments as they were typed: refuses (exit 2) what is unknown, missing, given twice or no value of its flag,
 * in words of ours.
 */
import type {Argv} from 'yargs';
import {didYouMean} from './did-you-mean.js';
import {UserError} from './errors.js';
import {stageNames, type StageName} from './events.js';
import type {Wanted} from './pipeline/run.js';

/** What yargs knows of the command that it came to; its types leave this out. */
interface Parser {
  getOptions(): {
    readonly key: Readonly<Record<string, unknown>>;
    readonly alias: Readonly<Record<string, readonly string[]>>;
  };
  getInternalMethods(): {
    getContext(): {readonly commands: readonly string[]; readonly fullCommands: readonly string[]};
    getCommandInstance(): {getCommands(): string[]};
  };
}
function known(parser: Argv) {
  const judged = parser as unknown as Parser;
  const {key, alias} = judged.getOptions();
  const inside = judged.getInternalMethods();
  const {commands, fullCommands} = inside.getContext();
  return {
    flags: [...Object.keys(key), ...Object.values(alias).flat()],
    command: commands.join(' '),
    full: fullCommands.at(-1) ?? '',
    commands: inside.getCommandInstance().getCommands(),
  };
}

const dashed = (flag: string): string => (flag.length === 1 ? `-${flag}` : `--${flag}`);
/** yargs gives every `dry-run` as `dryRun` as well. */
const inKebabCase = (flag: string): string => flag.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);

/** Refuses commands, flags and further arguments that nothing declares, and names what may have been meant. */
export function refuseUnknown(
  parser: Argv,
  given: Readonly<Record<string, unknown>> & {readonly _: readonly (string | number)[]},
): void {
  const {flags, command, commands} = known(parser);
  const [first] = given._.map(String);
  if (command === '' && first !== undefined)
    throw new UserError(
      'BAD_ARGUMENTS',
      `There is no command ${JSON.stringify(first)}.${didYouMean(first, commands)} See pupil --help.`,
    );
  const unknown = Object.keys(given).find(
    flag =>
      flag !== '_' && flag !== '$0' && flag !== '--' && !flags.includes(flag) && !flags.includes(inKebabCase(flag)),
  );
  if (unknown !== undefined)
    throw new UserError(
      'BAD_ARGUMENTS',
      `pupil ${command} has no flag ${dashed(unknown)}.${didYouMean(
        unknown,
        flags.filter(flag => flag.length > 1),
        dashed,
      )} See pupil ${command} --help.`,
    );
  const further = given._.map(String).slice(command.split(' ').length);
  if (further.length > 0)
    throw new UserError(
      'BAD_ARGUMENTS',
      `pupil ${command} takes no argument ${JSON.stringify(further[0])} here. See pupil ${command} --help.`,
    );
}

/** Refuses a second value where one would silently win, or come out as a list. */
export function refuseRepeated(given: Readonly<Record<string, unknown>>, repeatable: readonly string[]): void {
  const repeated = Object.keys(given).find(
    name => name !== '_' && name !== '--' && !repeatable.includes(name) && Array.isArray(given[name]),
  );
  if (repeated !== undefined) throw new UserError('BAD_ARGUMENTS', `${dashed(repeated)} was given more than once.`);
}

/**
 * Refuses a value without a letter, as a variable of the shell that was never set leaves it: as a path it would be the
 * current folder.
 */
export function refuseEmpty(given: Readonly<Record<string, unknown>>): void {
  const empty = Object.keys(given).find(name => name !== '_' && [given[name]].flat().some(value => value === ''));
  if (empty !== undefined)
    throw new UserError(
      'BAD_ARGUMENTS',
      `${dashed(empty)} is given as nothing (""). Expected a value, or leave it out.`,
    );
}

/**
 * A complaint of yargs in words of ours: the only ones that are left to it are of values and arguments that are
 * missing.
 */
export function wordComplaint(parser: Argv, complaint: string): UserError {
  const {command, full} = known(parser);
  const help = `See pupil ${command === '' ? '' : `${command} `}--help.`;
  const flag = /^Not enough arguments following: (.+)$/.exec(complaint)?.[1];
  if (flag !== undefined) return new UserError('BAD_ARGUMENTS', `${dashed(flag)} needs a value. ${help}`);
  if (complaint.startsWith('Not enough non-option arguments'))
    return new UserError(
      'BAD_ARGUMENTS',
      `pupil ${command} needs ${(full.match(/<[^>]+>/g) ?? []).join(' ')}. ${help}`,
    );
  // What our own readers of values refuse comes through yargs as its words alone, which are whole sentences.
  return new UserError('BAD_ARGUMENTS', /[.?]$/.test(complaint) ? complaint : `${complaint}. ${help}`);
}

/** A repeated flag comes as a list, which is refused later as such. */
const unlessRepeated =
  <Value>(read: (typed: string) => Value) =>
  (typed: string | number): Value =>
    Array.isArray(typed) ? (typed as unknown as Value) : read(String(typed));

/** Reads a whole number, `atLeast` or more. */
export const wholeNumber = (flag: string, atLeast: number) =>
  unlessRepeated((typed): number => {
    const value = Number(typed);
    if (typed.trim() !== '' && Number.isSafeInteger(value) && value >= atLeast) return value;
    throw new UserError(
      'BAD_ARGUMENTS',
      `${flag} is ${Number.isFinite(value) && typed !== '' ? typed : JSON.stringify(typed)}; expected a whole number${atLeast > 0 ? ` of at least ${atLeast}` : ''}.`,
    );
  });

/** Reads a share of 1. */
export const shareOfOne = (flag: string) =>
  unlessRepeated((typed): number => {
    const value = Number(typed);
    if (typed.trim() !== '' && value >= 0 && value <= 1) return value;
    throw new UserError(
      'BAD_ARGUMENTS',
      `${flag} is ${JSON.stringify(typed)}; expected a number from 0 to 1, such as 0.01 for 1 %.`,
    );
  });

/** Reads the name of a stage. */
export const stageCalled = (flag: string) =>
  unlessRepeated((typed): StageName => {
    const found = stageNames.find(name => name === typed);
    if (found !== undefined) return found;
    throw new UserError(
      'BAD_ARGUMENTS',
      `${flag} is ${JSON.stringify(typed)}; expected a stage: ${stageNames.join(', ')}.${didYouMean(typed, stageNames)}`,
    );
  });

/** Refuses parts of the pipeline that contradict each other. */
export function refuseContradiction({from, only, until}: Wanted): void {
  if (only !== undefined && (from ?? until) !== undefined)
    throw new UserError(
      'BAD_ARGUMENTS',
      `--only ${only} runs that stage alone, so ${from === undefined ? `--until ${until}` : `--from ${from}`} says nothing beside it. Give one of the two.`,
    );
  if (from !== undefined && until !== undefined && stageNames.indexOf(from) > stageNames.indexOf(until)) {
    throw new UserError(
      'BAD_ARGUMENTS',
      `--from ${from} --until ${until}: ${from} comes after ${until}, so nothing would run. The order is ${stageNames.join(', ')}.`,
    );
  }
}
