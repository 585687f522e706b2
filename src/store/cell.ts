/** A cell of the database that holds JSON. */
import {UserError} from '../errors.js';
import {damaged} from '../machine-fault.js';
import type {Connection} from './connection.js';

const SHOWN = 40;

/** What the cell says. `where` names it for people. Throws (exit 4) where it is no JSON any more. */
export function parseCell(connection: Connection, where: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(
      'DAMAGED_DATABASE',
      damaged(connection.name, `${where} should be JSON, and begins ${JSON.stringify(text.slice(0, SHOWN))}`),
      {cause: error},
    );
  }
}
