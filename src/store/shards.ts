/** The shards of the pool: which images each holds, and under which fingerprint it was scored. */
import type {Connection} from './open.js';

export interface Shard {
  readonly number: number;
  readonly firstImage: number;
  readonly lastImage: number;
  readonly images: number;
  /** Of the scoring that is done; null: not scored. */
  readonly fingerprint: string | null;
  readonly sha256: string | null;
  readonly rows: number | null;
}

export function shardTable(connection: Connection) {
  const columns = 'number, first_image AS firstImage, last_image AS lastImage, images, fingerprint, sha256, rows';
  const all = connection.prepare<[], Shard>(`SELECT ${columns} FROM shards ORDER BY number`);
  const containing = connection.prepare<[number, number], Shard>(`SELECT ${columns} FROM shards WHERE first_image <= ? AND last_image >= ?`);
  const clear = connection.prepare('DELETE FROM shards');
  const cut = connection.prepare<[{size: number}]>(`
    INSERT INTO shards (number, first_image, last_image, images)
    SELECT (position - 1) / CAST(@size AS INTEGER), min(key), max(key), count(*)
      FROM (SELECT key, row_number() OVER (ORDER BY key) AS position FROM images WHERE pool = 1)
     GROUP BY (position - 1) / CAST(@size AS INTEGER)`);
  const scored = connection.prepare<[string, string, number, number]>('UPDATE shards SET fingerprint = ?, sha256 = ?, rows = ? WHERE number = ?');
  const unscored = connection.prepare<[number]>('UPDATE shards SET fingerprint = NULL, sha256 = NULL, rows = NULL WHERE number = ?');
  return {
    all: (): Shard[] => all.all(),
    /** The shard that holds the pool image with this key. */
    containing: (image: number): Shard | null => containing.get(image, image) ?? null,
    /** Cuts the pool into shards of `size` images, forgetting earlier ones. */
    cut(size: number): void {
      clear.run();
      cut.run({size});
    },
    setScored(number: number, fingerprint: string, sha256: string, rows: number): void {
      scored.run(fingerprint, sha256, rows, number);
    },
    setUnscored(number: number): void {
      unscored.run(number);
    },
  };
}
