/**
 * Keeps a run out of folders that hold what is not its own: it replaces what it has made, and moves all of it aside
 * when its data changed.
 */
import {existsSync, readdirSync, realpathSync} from 'node:fs';
import path from 'node:path';
import type {SourceSpec} from '../children/protocol.js';
import type {Config} from '../config/schema.js';
import {UserError} from '../errors.js';
import type {RunPaths} from '../home.js';
import {fromPrintable} from '../images/printable-path.js';

const OF_RUNS = new Set([
  ...['attempts', 'cache', 'index', 'packs', 'scores', 'tensorboard'],
  ...['teacher', 'supervised', 'pretrained', 'student', 'results.json', 'report.html'],
]);
const OF_EXPERIMENTS = new Set(['table.json', 'table.md', 'table.csv', 'table.html', 'plot.svg']);

/** Whether a run puts something of this name into data/RUN or models/RUN; what a killed process leaves is its own, too. */
export const isOfRun = (name: string): boolean => OF_RUNS.has(name.replace(/\.tmp$/, ''));
/** The same, or of an experiment that has the name of the run. */
const isOurs = (name: string): boolean => isOfRun(name) || OF_EXPERIMENTS.has(name.replace(/\.tmp$/, ''));

const NAMES_SHOWN = 3;

/** A path with its links resolved, as far as there is something. */
export function realOf(file: string | Buffer): string {
  try {
    return realpathSync(file);
  } catch {
    const parent = path.dirname(String(file));
    return parent === String(file) ? parent : path.join(realOf(parent), path.basename(String(file)));
  }
}

export const isWithin = (file: string, folder: string): boolean =>
  file === folder || file.startsWith(folder + path.sep);

/**
 * Throws (exit 2) where a source or a given teacher lies in a folder of the run, or where a run that is new would have
 * a folder in which somebody else's files lie.
 */
export function refuseForeignFolders(
  {run, database, data, models}: RunPaths,
  {teacher}: Config,
  sources: readonly {readonly given: string; readonly spec: SourceSpec}[],
): void {
  const folders = [data, models];
  const files = [
    ...sources.map(({given, spec}) => ({given, file: realOf(fromPrintable(spec.path))})),
    ...[teacher.file, typeof teacher.classes === 'string' ? teacher.classes : null].flatMap(given =>
      given === null ? [] : [{given, file: realOf(given)}],
    ),
  ];
  for (const folder of folders) {
    const inside = files.find(({file}) => isWithin(file, realOf(folder)));
    if (inside)
      throw new UserError(
        'FOREIGN_FILES',
        `${inside.given} lies in ${folder}, where run ${run} keeps its own files: it replaces them, and moves them aside when the data changed. Choose another name (--run NAME), or move what lies there.`,
      );
  }
  if (existsSync(database)) return;
  for (const folder of folders) {
    const foreign = existsSync(folder) ? readdirSync(folder).filter(name => !isOurs(name)) : [];
    if (foreign.length === 0) continue;
    const shown =
      foreign.slice(0, NAMES_SHOWN).join(', ') +
      (foreign.length > NAMES_SHOWN ? ` and ${foreign.length - NAMES_SHOWN} more` : '');
    throw new UserError(
      'FOREIGN_FILES',
      `${folder} holds what is no run's (${shown}), and run ${run} would keep its own files there. Choose another name (--run NAME), or move what lies there.`,
    );
  }
}
