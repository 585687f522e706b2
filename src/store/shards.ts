/**
 * The shards of the pool: which images are scored together, and under which fingerprint they were. An image keeps its
 * shard while it is not in the pool: its scores still lie there.
 */
import type {Connection} from './connection.js';
import {digestOf} from './digest.js';

export interface Shard {
  readonly number: number;
  /** How many of its images are in the pool. */
  readonly images: number;
  /** Of the scoring that is done; null: not scored. */
  readonly fingerprint: string | null;
  readonly sha256: string | null;
  /** Of its score file; those of images that left the pool since are among them. */
  readonly rows: number | null;
}

export function shardTable(connection: Connection) {
  const columns = 'number, images, fingerprint, sha256, rows';
  const all = connection.prepare<[], Shard>(`SELECT ${columns} FROM shards ORDER BY number`);
  const numbered = connection.prepare<[number], Shard>(`SELECT ${columns} FROM shards WHERE number = ?`);
  const hasShards = connection
    .prepare<[string], number>('SELECT EXISTS (SELECT 1 FROM shards WHERE fingerprint = ?)')
    .pluck();
  const holding = connection
    .prepare<[], number>('SELECT EXISTS (SELECT 1 FROM shards WHERE rows IS NULL OR rows > 0)')
    .pluck();
  const left = connection
    .prepare<[number], string>('SELECT id FROM images WHERE shard = ? AND pool = 0 AND shard IS NOT NULL ORDER BY id')
    .pluck();
  const scored = connection.prepare<[string, string, number, number]>(
    'UPDATE shards SET fingerprint = ?, sha256 = ?, rows = ? WHERE number = ?',
  );
  const unscored = connection.prepare<[number]>(
    'UPDATE shards SET fingerprint = NULL, sha256 = NULL, rows = NULL WHERE number = ?',
  );
  const letGo = connection.prepare<[number]>('UPDATE images SET shard = NULL WHERE shard = ? AND pool = 0');
  const texts = (sql: string) => connection.prepare<[], string>(sql).pluck();
  const digested = [
    texts(
      'SELECT json_array(number, first_image, last_image, images, fingerprint, sha256, rows) FROM shards ORDER BY number',
    ),
    texts("SELECT key || ' ' || shard FROM images WHERE shard IS NOT NULL ORDER BY key"),
  ];

  /** Counts the images of shards anew, of which some came or left. */
  const count = (): void => {
    connection.exec(`
      UPDATE shards SET images = 0;
      UPDATE shards SET images = c.images, first_image = c.first, last_image = c.last
        FROM (SELECT shard, count(*) FILTER (WHERE pool = 1) AS images, min(key) AS first, max(key) AS last
                FROM images WHERE shard IS NOT NULL GROUP BY shard) c
       WHERE c.shard = number`);
  };

  return {
    all: (): Shard[] => all.all(),
    numbered: (number: number): Shard | null => numbered.get(number) ?? null,
    /** Whether any shard was scored under this fingerprint. */
    hasScored: (fingerprint: string): boolean => hasShards.get(fingerprint) === 1,
    /**
     * Cuts the whole pool into shards of `size` images. A shard of the same images as one before keeps that one's
     * scoring, whose fingerprint tells whether it still stands. Call inside `atomically`.
     */
    cut(size: number): void {
      connection.exec(`
        CREATE TEMP TABLE cut AS
        SELECT key, (row_number() OVER (ORDER BY key) - 1) / ${size} AS number FROM images WHERE pool = 1;
        CREATE UNIQUE INDEX cut_by_key ON cut (key);
        CREATE TEMP TABLE others AS
        SELECT i.shard AS before, c.number AS now FROM images i LEFT JOIN cut c ON c.key = i.key
         WHERE i.shard IS NOT c.number;
        DELETE FROM shards WHERE number IN (SELECT before FROM others UNION SELECT now FROM others);
        UPDATE images SET shard = (SELECT number FROM cut WHERE cut.key = images.key)
         WHERE shard IS NOT (SELECT number FROM cut WHERE cut.key = images.key);
        INSERT OR IGNORE INTO shards (number, first_image, last_image, images)
        SELECT number, min(key), max(key), count(*) FROM cut GROUP BY number;
        DELETE FROM shards WHERE number NOT IN (SELECT number FROM cut);
        DROP TABLE cut;
        DROP TABLE others;`);
      count();
    },
    /**
     * Cuts those images of the pool that have no shard yet into further ones, of `size` images; the others stay as they
     * are. Call inside `atomically`.
     */
    grow(size: number): void {
      connection.exec(`
        UPDATE images SET shard = c.number
          FROM (SELECT key, (SELECT coalesce(max(number), -1) + 1 FROM shards) + (row_number() OVER (ORDER BY key) - 1) / ${size} AS number
                  FROM images WHERE pool = 1 AND shard IS NULL) c
         WHERE c.key = images.key;
        INSERT OR IGNORE INTO shards (number, first_image, last_image, images)
        SELECT shard, min(key), max(key), count(*) FROM images WHERE shard IS NOT NULL GROUP BY shard;`);
      count();
    },
    /**
     * Forgets why images that left the pool could not be scored: if one comes back, it is tried again. Call inside
     * `atomically`.
     */
    forgetFailuresOfLeft(): void {
      connection.exec(`
        UPDATE images SET shard = NULL
         WHERE pool = 0 AND shard IS NOT NULL AND id IN (SELECT image FROM quarantine WHERE stage = 'score');
        DELETE FROM quarantine WHERE stage = 'score' AND image IN (SELECT id FROM images WHERE pool = 0)`);
    },
    /**
     * The ids of images that left the pool after this shard was scored: their scores count no more. Ascending.
     */
    left: (number: number): string[] => left.all(number),
    /** SHA-256 of all shards, what was scored of them, and which images they hold. */
    digest: (): string => digestOf(...digested),
    /** Whether any shard holds a scored image, or may come to. */
    someMayHold: (): boolean => holding.get() === 1,
    setScored(number: number, fingerprint: string, sha256: string, rows: number): void {
      scored.run(fingerprint, sha256, rows, number);
    },
    /** Before it is scored anew: images that left the pool will have no scores in it. Call inside `atomically`. */
    setUnscored(number: number): void {
      unscored.run(number);
      letGo.run(number);
    },
  };
}
