/** The shards of the pool: which images each holds, and under which fingerprint it was scored. */
import type {Connection} from './connection.js';
import {digestOf} from './digest.js';

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
  const containing = connection.prepare<[number, number], Shard>(
    `SELECT ${columns} FROM shards WHERE first_image <= ? AND last_image >= ?`,
  );
  const drop = connection.prepare<[{size: number}]>(
    'DELETE FROM shards WHERE number * @size >= (SELECT count(*) FROM images WHERE pool = 1)',
  );
  const cut = connection.prepare<[{size: number}]>(`
    INSERT INTO shards (number, first_image, last_image, images)
    SELECT (position - 1) / CAST(@size AS INTEGER), min(key), max(key), count(*)
      FROM (SELECT key, row_number() OVER (ORDER BY key) AS position FROM images WHERE pool = 1)
     GROUP BY (position - 1) / CAST(@size AS INTEGER)
        ON CONFLICT (number) DO UPDATE
       SET first_image = excluded.first_image, last_image = excluded.last_image, images = excluded.images, fingerprint = NULL, sha256 = NULL, rows = NULL
     WHERE (first_image, last_image, images) <> (excluded.first_image, excluded.last_image, excluded.images)`);
  const holding = connection.prepare<[], {found: number}>(
    'SELECT EXISTS (SELECT 1 FROM shards WHERE rows IS NULL OR rows > 0) AS found',
  );
  const scored = connection.prepare<[string, string, number, number]>(
    'UPDATE shards SET fingerprint = ?, sha256 = ?, rows = ? WHERE number = ?',
  );
  const unscored = connection.prepare<[number]>(
    'UPDATE shards SET fingerprint = NULL, sha256 = NULL, rows = NULL WHERE number = ?',
  );
  const texts = connection
    .prepare<[], string>(
      'SELECT json_array(number, first_image, last_image, images, fingerprint, sha256, rows) FROM shards ORDER BY number',
    )
    .pluck();
  return {
    all: (): Shard[] => all.all(),
    /** The shard that holds the pool image with this key. */
    containing: (image: number): Shard | null => containing.get(image, image) ?? null,
    /**
     * Cuts the pool into shards of `size` images. A shard with the bounds of an earlier one keeps that one's scoring,
     * whose fingerprint tells whether it still stands: listing the same pool again must not cost scoring it again.
     */
    cut(size: number): void {
      drop.run({size});
      cut.run({size});
    },
    /** SHA-256 of all shards and what was scored of them. */
    digest: (): string => digestOf(texts),
    /** Whether any shard holds a scored image, or may come to. */
    someMayHold: (): boolean => holding.get()!.found === 1,
    setScored(number: number, fingerprint: string, sha256: string, rows: number): void {
      scored.run(fingerprint, sha256, rows, number);
    },
    setUnscored(number: number): void {
      unscored.run(number);
    },
  };
}
