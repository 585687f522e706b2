/** What is recorded of each stage: its status, what its result depended on, and the outputs it vouches for. */
import {atomically} from './atomically.js';
import type {Connection} from './connection.js';

export type RecordedStatus = 'running' | 'interrupted' | 'failed' | 'done' | 'skipped';

/** A stage as it was left. `ingredients` is null unless it is done. */
export interface StageRecord {
  readonly name: string;
  readonly status: RecordedStatus;
  readonly ingredients: Readonly<Record<string, string>> | null;
  readonly message: string | null;
  readonly seconds: number;
  readonly summary: unknown;
  readonly outputs: readonly OutputRecord[];
}

/** One file (or one piece of this database, where `path` is null) under the name that later stages read it by. */
export interface OutputRecord {
  readonly name: string;
  readonly path: string | null;
  readonly sha256: string;
  readonly stamp: string | null;
}

interface StageRow {
  name: string;
  status: RecordedStatus;
  ingredients: string | null;
  message: string | null;
  seconds: number;
  summary: string;
}

export function stageTables(connection: Connection) {
  const read = connection.prepare<[string], StageRow>('SELECT name, status, ingredients, message, seconds, summary FROM stages WHERE name = ?');
  const outputs = connection.prepare<[string], OutputRecord>('SELECT name, path, sha256, stamp FROM outputs WHERE stage = ? ORDER BY rowid');
  const remove = connection.prepare<[string]>('DELETE FROM stages WHERE name = ?');
  const insert = connection.prepare<[string, RecordedStatus, string | null, string | null, string, number, string]>(
    'INSERT INTO stages (name, status, ingredients, message, started_at, seconds, summary) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const insertOutput = connection.prepare<[string, string, string | null, string, string | null]>(
    'INSERT INTO outputs (stage, name, path, sha256, stamp) VALUES (?, ?, ?, ?, ?)',
  );
  const stop = connection.prepare<[RecordedStatus, string, number, string]>('UPDATE stages SET status = ?, message = ?, seconds = seconds + ? WHERE name = ?');
  const setIngredients = connection.prepare<[string, string]>('UPDATE stages SET ingredients = ? WHERE name = ?');
  const renewStamp = connection.prepare<[string, string]>('UPDATE outputs SET stamp = ? WHERE stamp = ?');
  const files = connection.prepare<[], {key: number; path: string; stamp: string}>('SELECT rowid AS key, path, stamp FROM outputs WHERE path IS NOT NULL');
  const setFile = connection.prepare<[string, string, number]>('UPDATE outputs SET path = ?, stamp = ? WHERE rowid = ?');
  const setStamp = connection.prepare<[string, string, string]>('UPDATE outputs SET stamp = ? WHERE stage = ? AND path = ?');

  return {
    read(name: string): StageRecord | null {
      const row = read.get(name);
      if (!row) return null;
      return {
        ...row,
        ingredients: row.ingredients === null ? null : (JSON.parse(row.ingredients) as Record<string, string>),
        summary: JSON.parse(row.summary) as unknown,
        outputs: outputs.all(name),
      };
    },
    /** Takes back what the stage vouched for and marks it running. Seconds of an unfinished earlier attempt are kept, since it goes on from there. */
    begin(name: string): void {
      atomically(connection, () => {
        const row = read.get(name);
        const spent = row && row.status !== 'done' && row.status !== 'skipped' ? row.seconds : 0;
        remove.run(name);
        insert.run(name, 'running', null, null, new Date().toISOString(), spent, 'null');
      });
    },
    /** Records a whole stage: what it depended on and what it vouches for, in one commit. `seconds` is added to those of earlier attempts. */
    finish(record: Omit<StageRecord, 'message'> & {readonly status: 'done' | 'skipped'}): void {
      atomically(connection, () => {
        const spent = read.get(record.name)?.seconds ?? 0;
        remove.run(record.name);
        insert.run(record.name, record.status, JSON.stringify(record.ingredients), null, new Date().toISOString(), spent + record.seconds, JSON.stringify(record.summary));
        for (const output of record.outputs) insertOutput.run(record.name, output.name, output.path, output.sha256, output.stamp);
      });
    },
    /** Records why a stage ended early. */
    stop(name: string, status: 'interrupted' | 'failed', message: string, seconds: number): void {
      stop.run(status, message, seconds, name);
    },
    setIngredients(name: string, ingredients: Readonly<Record<string, string>>): void {
      setIngredients.run(JSON.stringify(ingredients), name);
    },
    /** Trusts a file by its new stamp, after its hash was found unchanged. */
    restamp(stage: string, path: string, stamp: string): void {
      setStamp.run(stamp, stage, path);
    },
    /** Gives files new stamps by their old ones, where only the stamp changed. Call inside `atomically`. */
    renewStamps(renewed: ReadonlyMap<string, string>): void {
      for (const [before, after] of renewed) renewStamp.run(after, before);
    },
    /** Tells every stage where its files lie now, and their stamps there. Call inside `atomically`. */
    relocate(moved: (file: {readonly path: string; readonly stamp: string}) => {readonly path: string; readonly stamp: string}): void {
      for (const {key, ...file} of files.all()) {
        const {path, stamp} = moved(file);
        setFile.run(path, stamp, key);
      }
    },
  };
}
