/** The row about the run itself: its config, and who works on it. */
import {parseCell} from './cell.js';
import type {Connection} from './connection.js';

export interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
}

interface Row {
  config: string | null;
  holder: string | null;
}

export function runTable(connection: Connection) {
  const read = connection.prepare<[], Row>('SELECT config, holder FROM run');
  const insert = connection.prepare<[string]>('INSERT INTO run (name) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM run)');
  const setHolder = connection.prepare<[string]>('UPDATE run SET holder = ?');
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
    take(name: string, holder: Holder): void {
      insert.run(name);
      setHolder.run(JSON.stringify(holder));
    },
    /** Null before somebody took it. */
    name: (): string | null => name.get()?.name ?? null,
    setConfig(config: string): void {
      setConfig.run(config);
    },
  };
}
