/**
 * Digests of rows: by them a stage's products in the database are known for what was written, as files are by the
 * hashes of their bytes.
 */
import {createHash} from 'node:crypto';

/** A prepared query whose rows are texts, in an order of its own. */
export interface Texts {
  iterate(): IterableIterator<unknown>;
}

/** Texts are hashed together until they are as long as this. */
const HASHED_AT_ONCE = 1 << 16;

/** SHA-256 of all texts of these queries. A null, which no row that we wrote gives, counts as itself. */
export function digestOf(...queries: readonly Texts[]): string {
  const hash = createHash('sha256');
  for (const query of queries) {
    let waiting = '';
    for (const text of query.iterate()) {
      waiting += `${String(text)}\n`;
      if (waiting.length < HASHED_AT_ONCE) continue;
      hash.update(waiting);
      waiting = '';
    }
    hash.update(`${waiting}\n`);
  }
  return hash.digest('hex');
}

/** SQL for a path without the folder of the run's own cache, so that what another run has listed has the same digest. */
export const withoutCache = (path: string): string => {
  const cache = "('/data/' || (SELECT name FROM run) || '/cache')";
  return `CASE WHEN instr(${path}, ${cache}) > 0 THEN substr(${path}, instr(${path}, ${cache}) + length(${cache})) ELSE ${path} END`;
};
