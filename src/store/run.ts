/** The row about the run itself: its config, and who works on it. */
import {parseCell} from './cell.js';
import type {Connection} from './connection.js';

export interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
}

/** What a run is a part of. */
export interface Belonging {
  /** The arm of an experiment, and its seed there; null for a run of its own. */
  readonly arm: {readonly experiment: string; readonly arm: string; readonly seed: number} | null;
  /** The run whose round this one is: itself, in the first. */
  readonly first: string;
  /** From 1. */
  readonly round: number;
}

interface Row {
  config: string | null;
  holder: string | null;
}

/** Of a run of before, which its name told. */
export function tellBelonging(connection: Connection): void {
  const name = connection.prepare<[], string>('SELECT name FROM run').pluck().get();
  if (name === undefined) return;
  const [, before, round] = /^(.+)\.round(\d+)$/.exec(name) ?? [];
  const first = before ?? name;
  const [, experiment, arm, seed] = /^(.+)\.([^.]+)\.seed(\d+)$/.exec(first) ?? [];
  connection
    .prepare<[string | null, string | null, number | null, string, number]>(
      'UPDATE run SET experiment = ?, arm = ?, seed = ?, first_round = ?, round = ?',
    )
    .run(experiment ?? null, arm ?? null, seed === undefined ? null : Number(seed), first, Number(round ?? 1));
}

export function runTable(connection: Connection) {
  const read = connection.prepare<[], Row>('SELECT config, holder FROM run');
  const insert = connection.prepare<[string]>('INSERT INTO run (name) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM run)');
  const setHolder = connection.prepare<[string]>('UPDATE run SET holder = ?');
  const belonging = connection.prepare<
    [],
    {experiment: string | null; arm: string | null; seed: number | null; first: string | null; round: number}
  >('SELECT experiment, arm, seed, first_round AS first, round FROM run');
  const setRound = connection.prepare<[string, number]>('UPDATE run SET first_round = ?, round = ?');
  const setArm = connection.prepare<[string, string, number]>('UPDATE run SET experiment = ?, arm = ?, seed = ?');
  const name = connection.prepare<[], {name: string}>('SELECT name FROM run');
  const setConfig = connection.prepare<[string]>('UPDATE run SET config = ?');
  return {
    /** The config as it was last run with, as JSON gives it; null before its inputs were accepted. */
    config(): unknown {
      const config = read.get()?.config ?? null;
      return config === null ? null : parseCell(connection, 'the configuration of the run', config);
    },
    /** Who took the run last; it need not be running any more. */
    holder(): Holder | null {
      const holder = read.get()?.holder;
      return holder ? (parseCell(connection, 'the holder of the run', holder) as Holder) : null;
    },
    /** An arm that is brought up to date by itself stays one. */
    take(name: string, holder: Holder, {arm, first, round}: Belonging = {arm: null, first: name, round: 1}): void {
      insert.run(name);
      setHolder.run(JSON.stringify(holder));
      setRound.run(first, round);
      if (arm !== null) setArm.run(arm.experiment, arm.arm, arm.seed);
    },
    /** Null before somebody took it. */
    belonging(): Belonging | null {
      const row = belonging.get();
      if (row === undefined || row.first === null) return null;
      const {experiment, arm, seed, first, round} = row;
      return {arm: experiment === null || arm === null || seed === null ? null : {experiment, arm, seed}, first, round};
    },
    /** Null before somebody took it. */
    name: (): string | null => name.get()?.name ?? null,
    setConfig(config: string): void {
      setConfig.run(config);
    },
  };
}
