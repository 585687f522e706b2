/** The row about the run itself: its config, and who works on it. */
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
  const rename = connection.prepare<[string]>('UPDATE run SET name = ?, config = NULL, holder = NULL');
  const setConfig = connection.prepare<[string]>('UPDATE run SET config = ?');
  return {
    /** The config as it was last run with (JSON); null before its inputs were accepted. */
    config: (): string | null => read.get()?.config ?? null,
    /** Who took the run last; it need not be running any more. */
    holder(): Holder | null {
      const holder = read.get()?.holder;
      return holder ? (JSON.parse(holder) as Holder) : null;
    },
    take(name: string, holder: Holder): void {
      insert.run(name);
      setHolder.run(JSON.stringify(holder));
    },
    /** Gives a copy of a run its own name; it has no config until its inputs are accepted. */
    rename(name: string): void {
      rename.run(name);
    },
    setConfig(config: string): void {
      setConfig.run(config);
    },
  };
}
