/** A transaction: everything inside happens or nothing does. */
import {passFailPoint} from '../files/fail-point.js';
import type {Connection} from './connection.js';

/** `work` must not await. */
export function atomically<Result>(connection: Connection, work: () => Result): Result {
  const result = connection
    .transaction(() => {
      const made = work();
      passFailPoint('commit.before');
      return made;
    })
    .immediate();
  passFailPoint('commit.after');
  return result;
}
