/** Where the images lie that stand in the rankings and are in no labelled set: what people ask for of the pool. */
import {ID_WORDS} from '../ranking/image-ids.js';
import type {PoolImage} from '../pool/pool-index.js';
import type {Connection} from './connection.js';
import {digestOf} from './digest.js';
import type {LocatedImage} from './images.js';

/** Ids that are read at a time. */
const PAGE = 10_000;

export function chosenTable(connection: Connection) {
  const clear = connection.prepare('DELETE FROM chosen');
  const insert = connection.prepare<
    [string, number, string, string | null, number | null, number | null, string, string]
  >('INSERT OR IGNORE INTO chosen SELECT ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM images WHERE id = ?)');
  const ranked = connection
    .prepare<[Buffer, number], Buffer>('SELECT DISTINCT image FROM rankings WHERE image > ? ORDER BY image LIMIT ?')
    .pluck();
  const place = `s.root || '/' || c.file || coalesce('#' || c.member, '')`;
  const byId = connection.prepare<[string], LocatedImage>(`
    SELECT c.id, NULL AS label, ${place} AS place, s.root || '/' || c.file AS file, c."offset", c.length, c.encoding
      FROM chosen c JOIN sources s ON s.key = c.source WHERE c.id = ?`);
  const digested = connection
    .prepare<[], string>(
      'SELECT json_array(id, source, file, member, "offset", length, encoding) FROM chosen ORDER BY id',
    )
    .pluck();
  return {
    /** Distinct ids in the rankings, three words each, ascending; in lots, so that rows can be written between them. */
    *rankedIds(): Generator<Uint32Array> {
      for (let after: Buffer = Buffer.alloc(0); ;) {
        const page = ranked.all(after, PAGE);
        const ids = new Uint32Array(page.length * ID_WORDS);
        page.forEach((id, row) => {
          for (let word = 0; word < ID_WORDS; word++) ids[row * ID_WORDS + word] = id.readUInt32BE(word * 4);
        });
        yield ids;
        if (page.length < PAGE) return;
        after = page.at(-1)!;
      }
    },
    clear(): void {
      clear.run();
    },
    /** Call inside `atomically`. */
    add({id, source, file, member, offset, length, encoding}: PoolImage): void {
      insert.run(id, source, file, member, offset, length, encoding, id);
    },
    byId: (id: string): LocatedImage | null => byId.get(id) ?? null,
    /** SHA-256 of all of them, and where they lie. */
    digest: (): string => digestOf(digested),
  };
}
