/**
 * Where everything of a run lies: a home holds `models/ data/ db/`, and each run has a file or folder of its name in
 * each.
 */
import {existsSync, readdirSync, statSync} from 'node:fs';
import path from 'node:path';
import {UserError} from './errors.js';

export interface RunPaths {
  readonly run: string;
  readonly home: string;
  /** All state and the rankings (SQLite). */
  readonly database: string;
  /** Held exclusively while an orchestration runs (SQLite, empty). */
  readonly lock: string;
  readonly data: string;
  readonly models: string;
  /** What an archive must be unpacked to before it can be read at random. */
  readonly cache: string;
  readonly scores: string;
  /** What each source lists, in a folder of its own. */
  readonly listings: string;
  /** Which images the pool holds, and in which shard each is scored. */
  readonly pool: string;
  /** One folder a child process: its config and its log. */
  readonly attempts: string;
  readonly report: string;
  /** A file of a trained model: models/RUN/STEP/NAME. */
  model(step: string, name: string): string;
  pack(name: string): string;
}

/** A file of an experiment's results. */
export const experimentFile = (home: string, experiment: string, name: string): string =>
  path.join(home, 'models', experiment, name);

const isFolder = (file: string): boolean => statSync(file, {throwIfNoEntry: false})?.isDirectory() ?? false;

/** What stands for bytes that are no UTF-8 in a path that Node decoded: another path than was meant. */
const NO_CHARACTER = '\ufffd';

/** Leaves room for `db/RUN.sqlite-journal`. */
const LONGEST_HOME = 400;

/** The home as an absolute path. Throws (exit 2) where its name is none that can be worked with. */
function absoluteHome(given: string): string {
  const home = path.resolve(given);
  if (home.includes(NO_CHARACTER))
    throw new UserError(
      'BAD_HOME',
      `The name of the folder ${home} is no UTF-8, and cannot be a home. Rename it, or work in another (--home DIR).`,
    );
  if (Buffer.byteLength(home) > LONGEST_HOME)
    throw new UserError(
      'BAD_HOME',
      `The home ${home} is too long a path: SQLite opens no file whose path has more than 512 bytes. Choose one of ${LONGEST_HOME} at most (--home DIR).`,
    );
  return home;
}

/** The home as an absolute path. Throws (exit 2) where it is no folder: whoever looks would look at nothing. */
export function existingHome(given: string): string {
  const home = absoluteHome(given);
  if (isFolder(home)) return home;
  throw new UserError(
    'BAD_HOME',
    `There is no folder ${home}, which --home names. It is the folder in which pupil orchestrate was run, or was told to work by --home.`,
  );
}

/**
 * The home as an absolute path, which the first run makes. Throws (exit 2) where not even the folder around it is
 * there: that is a slip, most likely.
 */
export function homeToBe(given: string): string {
  const home = absoluteHome(given);
  if (isFolder(home) || (statSync(home, {throwIfNoEntry: false}) === undefined && isFolder(path.dirname(home))))
    return home;
  if (isFolder(path.dirname(home)))
    throw new UserError(
      'BAD_HOME',
      `${home}, which --home names, is a file; expected a folder for models/, data/ and db/.`,
    );
  throw new UserError(
    'BAD_HOME',
    `There is no folder ${path.dirname(home)} in which --home ${given} could be made. If that is where you want it, make it first (mkdir -p ${home}).`,
  );
}

/** The command that tells where a run stands, as whoever reads it must type it here. */
export const statusCommand = ({run, home}: Pick<RunPaths, 'run' | 'home'>): string =>
  `pupil status --run ${run}${home === process.cwd() ? '' : ` --home ${/^[\w./@+-]+$/.test(home) ? home : `'${home}'`}`}`;

export const databaseFolder = (home: string): string => path.join(home, 'db');

/** Of all runs: what their stages made, by what it was made from. No run has such a name. */
export const resultsFolder = (home: string): string => path.join(home, 'data', '.results');

/**
 * The folders that pupil writes to, which are no part of a source around them: those of the home, and those of each
 * run, so that a source may lie in data/ beside them.
 */
export function ownFolders(home: string): string[] {
  const databases = databaseFolder(home);
  const runs = existsSync(databases)
    ? readdirSync(databases)
        .filter(name => name.endsWith('.sqlite'))
        .map(name => name.slice(0, -'.sqlite'.length))
    : [];
  return [databases, path.join(home, 'models'), path.join(home, 'data'), ...runs.map(run => runPaths(home, run).data)];
}

export function runPaths(home: string, run: string): RunPaths {
  const data = path.join(home, 'data', run);
  const models = path.join(home, 'models', run);
  return {
    run,
    home,
    database: path.join(databaseFolder(home), `${run}.sqlite`),
    lock: path.join(databaseFolder(home), `${run}.lock`),
    data,
    models,
    cache: path.join(data, 'cache'),
    scores: path.join(data, 'scores'),
    listings: path.join(data, 'index', 'listings'),
    pool: path.join(data, 'index', 'pool'),
    attempts: path.join(data, 'attempts'),
    report: path.join(models, 'report.html'),
    model: (step, name) => path.join(models, step, name),
    pack: name => path.join(data, 'packs', name),
  };
}
