/** What is known of the pool's files: how many images, which listings they are from, and what changed. */
import {parseCell} from './cell.js';
import type {Connection} from './connection.js';

/** A table of ids (see src/pool/id-table.ts), and the name of the folder that it lies in. */
export interface TableFacts {
  readonly folder: string;
  readonly bits: number;
  readonly rows: number;
  readonly digest: string;
}

export interface PoolFacts {
  /** Distinct images. */
  readonly images: number;
  readonly table: TableFacts;
  readonly listings: readonly {readonly source: number; readonly folder: string; readonly chunks: readonly number[]}[];
  /** Of which images it holds. */
  readonly digest: string;
}

/** Images that are in no shard yet, that are in one, and that are in one and not in the pool any more. */
export interface PoolChange {
  readonly added: number;
  readonly stayed: number;
  readonly left: number;
}

export function poolTable(connection: Connection) {
  const read = connection.prepare<[], {listed: string; change: string}>('SELECT listed, change FROM pool');
  const readAssigned = connection.prepare<[], string>('SELECT facts FROM assigned').pluck();
  const insert = connection.prepare<[string, string]>('INSERT INTO pool (listed, change) VALUES (?, ?)');
  const insertAssigned = connection.prepare<[string]>('INSERT INTO assigned (facts) VALUES (?)');
  const setChange = connection.prepare<[string]>('UPDATE pool SET change = ?');
  const clear = connection.prepare('DELETE FROM pool');
  const clearAssigned = connection.prepare('DELETE FROM assigned');
  const write = (facts: PoolFacts, change: PoolChange) => {
    clear.run();
    insert.run(JSON.stringify(facts), JSON.stringify(change));
  };
  const poolChange = (text: string): PoolChange => parseCell(connection, 'the change of the pool', text) as PoolChange;
  /** Null before the pool was settled. */
  const facts = (): PoolFacts | null => {
    const row = read.get();
    return row === undefined ? null : (parseCell(connection, 'the pool', row.listed) as PoolFacts);
  };
  /** The table that tells the shard of an image; null before images were put into shards. */
  const assigned = (): TableFacts | null => {
    const text = readAssigned.get();
    return text === undefined ? null : (parseCell(connection, 'the shards of the pool', text) as TableFacts);
  };
  return {
    facts,
    assigned,
    change(): PoolChange {
      const row = read.get();
      return row === undefined ? {added: 0, stayed: 0, left: 0} : poolChange(row.change);
    },
    size: (): number => facts()?.images ?? 0,
    /** Call inside `atomically`. */
    settle(now: PoolFacts, change: PoolChange): void {
      write(now, change);
    },
    /** Call inside `atomically`. */
    setChange(change: PoolChange): void {
      setChange.run(JSON.stringify(change));
    },
    /** The table that tells the shard of every image of the pool, and how many it has that left. Call inside `atomically`. */
    assign(now: TableFacts, left: number): void {
      const known = facts();
      if (known === null) throw new Error('A pool was put into shards that nobody settled.');
      write(known, {added: 0, stayed: known.images, left});
      clearAssigned.run();
      insertAssigned.run(JSON.stringify(now));
    },
  };
}
