/**
 * The rows that a stage made, as a file of their own (SQLite, the tables under their names), and back into a run's
 * database: so that another run can have them without making them.
 */
import {writeFileSync} from 'node:fs';
import type {Connection} from './connection.js';
import {atomically} from './atomically.js';

/** Rows that one stage alone writes. */
export interface OwnRows {
  readonly table: string;
  /**
   * SQL for those among the rows of others, which are numbered anew wherever they go; without it the whole table is the
   * stage's, and keeps its numbers.
   */
  readonly where?: string;
  /** Whether what is there already stays, before them. */
  readonly appended?: boolean;
}

/** What was told of a stage's trainings, and where: the curves of its report. */
export const curvesOf = (stage: string): OwnRows => ({
  table: 'events',
  where: `stage = '${stage}' AND type IN ('device', 'begun', 'step', 'evaluated')`,
  appended: true,
});

/** Rankings count by the class list, so those of another one mean nothing. */
const OTHER_CLASSES =
  'SELECT EXISTS (SELECT * FROM main.classes EXCEPT SELECT * FROM kept.classes) OR EXISTS (SELECT * FROM kept.classes EXCEPT SELECT * FROM main.classes)';

export function stageRows(connection: Connection) {
  const attached = (file: string, work: () => void): void => {
    connection.prepare<[string]>('ATTACH ? AS kept').run(file);
    try {
      work();
    } finally {
      connection.exec('DETACH kept');
    }
  };
  const columnsOf = ({table, where}: OwnRows): string => {
    const columns = connection.pragma(`main.table_info(${table})`) as {name: string; pk: number; type: string}[];
    const isNumbered = columns.some(({pk, type}) => pk === 1 && type === 'INTEGER') && hasNumbers(table);
    const own = columns.filter(({pk}) => !(isNumbered && pk === 1 && where !== undefined));
    // A number that no column shows may be what an order rests on.
    const hidden = where === undefined && !isNumbered && hasNumbers(table) ? ['rowid'] : [];
    return [...hidden, ...own.map(({name}) => `"${name}"`)].join(', ');
  };
  const hasNumbers = (table: string): boolean =>
    !/WITHOUT ROWID/i.test(
      connection.prepare<[string], string>('SELECT sql FROM main.sqlite_schema WHERE name = ?').pluck().get(table) ??
        '',
    );
  const indicesOf = (table: string): {name: string; sql: string}[] =>
    connection
      .prepare<[string], {name: string; sql: string}>(
        "SELECT name, sql FROM main.sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
      )
      .all(table);

  return {
    /** Writes a stage's rows into a new file; whoever calls syncs it. */
    write(file: string, owned: readonly OwnRows[]): void {
      // A connection that creates no databases attaches none that is not there.
      writeFileSync(file, '');
      attached(file, () => {
        connection.pragma('kept.journal_mode = OFF');
        connection.pragma('kept.synchronous = OFF');
        atomically(connection, () => {
          for (const own of owned) {
            const columns = columnsOf(own).replace(/^rowid/, 'rowid AS "rowid"');
            const order = hasNumbers(own.table) ? 'ORDER BY rowid' : '';
            connection.exec(
              `CREATE TABLE kept.${own.table} AS SELECT ${columns} FROM main.${own.table} WHERE ${own.where ?? 'true'} ${order}`,
            );
          }
        });
      });
    },
    /** Puts rows that `write` wrote in the place of the stage's own. */
    read(file: string, owned: readonly OwnRows[]): void {
      attached(file, () =>
        atomically(connection, () => {
          connection.pragma('defer_foreign_keys = ON');
          if (owned.some(({table}) => table === 'classes') && connection.prepare(OTHER_CLASSES).pluck().get() === 1)
            connection.exec('DELETE FROM main.rankings; DELETE FROM main.class_rankings;');
          // What refers to others goes before them: a table that nothing refers to is emptied at once.
          for (const {table, where = 'true', appended = false} of owned.toReversed())
            if (!appended) connection.exec(`DELETE FROM main.${table} WHERE ${where}`);
          for (const own of owned) {
            const {table, where = 'true'} = own;
            // Last, since an index that grows with the rows is several times slower.
            const indices = where === 'true' ? indicesOf(table) : [];
            for (const {name} of indices) connection.exec(`DROP INDEX main.${name}`);
            const columns = columnsOf(own);
            const order = hasNumbers(table) ? 'ORDER BY kept_rows.rowid' : '';
            connection.exec(
              `INSERT INTO main.${table} (${columns}) SELECT ${columns} FROM kept.${table} AS kept_rows ${order}`,
            );
            for (const {sql} of indices) connection.exec(sql);
          }
        }),
      );
    },
  };
}
