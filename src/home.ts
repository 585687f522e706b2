/** Where everything of a run lies: a home holds `models/ data/ db/`, and each run has a file or folder of its name in each. */
import path from 'node:path';

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
  /** One folder a child process: its config and its log. */
  readonly attempts: string;
  readonly report: string;
  /** A file of a trained model: models/RUN/STEP/NAME. */
  model(step: string, name: string): string;
  pack(name: string): string;
}

/** A file of an experiment's results. */
export const experimentFile = (home: string, experiment: string, name: string): string => path.join(home, 'models', experiment, name);

export const databaseFolder = (home: string): string => path.join(home, 'db');

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
    attempts: path.join(data, 'attempts'),
    report: path.join(models, 'report.html'),
    model: (step, name) => path.join(models, step, name),
    pack: name => path.join(data, 'packs', name),
  };
}
