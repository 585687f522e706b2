/** What is recorded of each stage: its status, what its result depended on, and the outputs it vouches for. */
import {atomically} from './atomically.js';
import {parseCell} from './cell.js';
import type {Connection} from './connection.js';

export type RecordedStatus = 'running' | 'interrupted' | 'failed' | 'done' | 'skipped';

/** A stage as it was left. `ingredients` is null unless it is done. */
export interface StageRecord {
  readonly name: string;
  readonly status: RecordedStatus;
  readonly ingredients: Readonly<Record<string, string>> | null;
  /** What the attempt that did not finish began with; null for a finished stage. */
  readonly begun: Readonly<Record<string, string>> | null;
  readonly message: string | null;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly seconds: number;
  readonly summary: unknown;
  readonly outputs: readonly OutputRecord[];
  /**
   * Whether all of this is as the finished stage recorded it; true where it is not finished, and vouches for nothing.
   */
  readonly isIntact: boolean;
}

/** One file (or one piece of this database, where `path` is null) under the name that later stages read it by. */
export interface OutputRecord {
  readonly name: string;
  readonly path: string | null;
  readonly sha256: string;
}

/**
 * SQL for the seal of a stage as it stands; it needs the function `sha256`.
 */
const seal = `sha256(json_array(name, status, ingredients, started_at, seconds, summary,
  (SELECT json_group_array(json_array(name, path, sha256)) FROM (SELECT name, path, sha256 FROM outputs WHERE stage = stages.name ORDER BY rowid))))`;

/** Seals what stages finished before there were seals, as it is. */
export function sealFinished(connection: Connection): void {
  connection.exec(`UPDATE stages SET seal = ${seal} WHERE ingredients IS NOT NULL`);
}

/**
 * Gives trainings of before the product by which others of equal length are known. A record that was damaged before must
 * not look whole afterwards.
 */
export function addLengths(connection: Connection): void {
  const trained = connection
    .prepare<[], string>(`SELECT name FROM stages WHERE name IN ('pretrain', 'finetune') AND seal IS ${seal}`)
    .pluck()
    .all();
  for (const name of trained) {
    connection
      .prepare<[string]>(
        `INSERT INTO outputs (stage, name, path, sha256)
         SELECT name, 'length', NULL, summary ->> 'steps' || ' steps of ' || (summary ->> 'batchSize') FROM stages WHERE name = ?`,
      )
      .run(name);
    connection.prepare<[string]>(`UPDATE stages SET seal = ${seal} WHERE name = ?`).run(name);
  }
}

interface StageRow {
  name: string;
  status: RecordedStatus;
  ingredients: string | null;
  begun: string | null;
  message: string | null;
  startedAt: string;
  seconds: number;
  summary: string;
  isIntact: number;
}

/** What a finished stage leaves. */
export type FinishedStage = Omit<StageRecord, 'begun' | 'message' | 'startedAt' | 'isIntact'> & {
  readonly status: 'done' | 'skipped';
};

export function stageTables(connection: Connection) {
  const read = connection.prepare<[string], StageRow>(
    `SELECT name, status, ingredients, begun, message, started_at AS startedAt, seconds, summary, status NOT IN ('done', 'skipped') OR seal IS ${seal} AS isIntact FROM stages WHERE name = ?`,
  );
  const outputs = connection.prepare<[string], OutputRecord>(
    'SELECT name, path, sha256 FROM outputs WHERE stage = ? ORDER BY rowid',
  );
  const remove = connection.prepare<[string]>('DELETE FROM stages WHERE name = ?');
  // With the stage, unless its row was lost.
  const removeOutputs = connection.prepare<[string]>('DELETE FROM outputs WHERE stage = ?');
  const startOf = connection.prepare<
    [string],
    {status: RecordedStatus; startedAt: string; seconds: number; begun: string | null}
  >('SELECT status, started_at AS startedAt, seconds, begun FROM stages WHERE name = ?');
  const insert = connection.prepare<
    [string, RecordedStatus, string | null, string | null, string | null, string, number, string]
  >(
    'INSERT INTO stages (name, status, ingredients, begun, message, started_at, seconds, summary) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const insertOutput = connection.prepare<[string, string, string | null, string]>(
    'INSERT INTO outputs (stage, name, path, sha256) VALUES (?, ?, ?, ?)',
  );
  const setSeal = connection.prepare<[string]>(`UPDATE stages SET seal = ${seal} WHERE name = ?`);
  const stop = connection.prepare<[RecordedStatus, string, number, string]>(
    'UPDATE stages SET status = ?, message = ?, seconds = seconds + ? WHERE name = ?',
  );
  const intact = connection.prepare<[], {name: string}>(`SELECT name FROM stages WHERE seal IS ${seal}`);
  const setDigest = connection.prepare<[string, string, string]>(
    'UPDATE outputs SET sha256 = ? WHERE stage = ? AND name = ? AND path IS NULL',
  );

  return {
    read(name: string): StageRecord | null {
      const row = read.get(name);
      if (!row) return null;
      return {
        ...row,
        begun:
          row.begun === null
            ? null
            : (parseCell(connection, `what ${name} began with`, row.begun) as Record<string, string>),
        ingredients:
          row.ingredients === null
            ? null
            : (parseCell(connection, `the ingredients of ${name}`, row.ingredients) as Record<string, string>),
        summary: parseCell(connection, `the summary of ${name}`, row.summary),
        outputs: outputs.all(name),
        isIntact: row.isIntact === 1,
      };
    },
    /**
     * Takes back what the stage vouched for and marks it running. The start and the seconds of an unfinished earlier
     * attempt at the same are kept, since it goes on from there.
     */
    begin(name: string, ingredients: Readonly<Record<string, string>>): void {
      const begun = JSON.stringify(ingredients);
      atomically(connection, () => {
        const row = startOf.get(name);
        const unfinished = row && row.status !== 'done' && row.status !== 'skipped' && row.begun === begun ? row : null;
        remove.run(name);
        removeOutputs.run(name);
        insert.run(
          name,
          'running',
          null,
          begun,
          null,
          unfinished?.startedAt ?? new Date().toISOString(),
          unfinished?.seconds ?? 0,
          'null',
        );
      });
    },
    /**
     * Records a whole stage: what it depended on and what it vouches for, sealed, in one commit. It started when
     * it was begun; `seconds` is added to those of earlier attempts.
     */
    finish(record: FinishedStage): void {
      atomically(connection, () => {
        const begun = startOf.get(record.name);
        remove.run(record.name);
        removeOutputs.run(record.name);
        insert.run(
          record.name,
          record.status,
          JSON.stringify(record.ingredients),
          null,
          null,
          begun?.startedAt ?? new Date().toISOString(),
          (begun?.seconds ?? 0) + record.seconds,
          JSON.stringify(record.summary),
        );
        for (const output of record.outputs) insertOutput.run(record.name, output.name, output.path, output.sha256);
        setSeal.run(record.name);
      });
    },
    /** Records why a stage ended early. */
    stop(name: string, status: 'interrupted' | 'failed', message: string, seconds: number): void {
      stop.run(status, message, seconds, name);
    },
    /** As if it had never begun. */
    forget(name: string): void {
      atomically(connection, () => {
        remove.run(name);
        removeOutputs.run(name);
      });
    },
    /**
     * Gives a product in rows, where the stage is done, the digest of other rows, which tell the same. Call inside
     * `atomically`.
     */
    revouch(stage: string, product: string, digest: string): void {
      const isSealed = intact.all().some(({name}) => name === stage);
      setDigest.run(digest, stage, product);
      // A record that was damaged before must not look whole afterwards.
      if (isSealed) setSeal.run(stage);
    },
  };
}
