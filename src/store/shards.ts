/** The shards of the pool: how many images are scored together, and under which fingerprint they were. */
import {ID_BYTES, idBytes, unpackIds} from '../ranking/image-ids.js';
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

/** What shards there are, by number. */
export interface SettledShards {
  /** Images of each that are in the pool. */
  readonly images: ReadonlyMap<number, number>;
  /** Ids of those that are not any more, three words each. */
  readonly left: ReadonlyMap<number, Uint32Array>;
  /** Those that are not what they were: nothing that was scored of them stands. */
  readonly renewed: ReadonlySet<number>;
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
  const left = connection.prepare<[number], Buffer>('SELECT left_ids FROM shards WHERE number = ?').pluck();
  const remove = connection.prepare<[number]>('DELETE FROM shards WHERE number = ?');
  const put = connection.prepare<[number, number, Buffer]>(
    'INSERT INTO shards (number, images, left_ids) VALUES (?, ?, ?) ON CONFLICT (number) DO UPDATE SET images = excluded.images, left_ids = excluded.left_ids',
  );
  const scored = connection.prepare<[string, string, number, number]>(
    'UPDATE shards SET fingerprint = ?, sha256 = ?, rows = ? WHERE number = ?',
  );
  const unscored = connection.prepare<[number]>(
    'UPDATE shards SET fingerprint = NULL, sha256 = NULL, rows = NULL WHERE number = ?',
  );
  const digested = connection
    .prepare<[], string>(
      'SELECT json_array(number, images, fingerprint, sha256, rows, hex(left_ids)) FROM shards ORDER BY number',
    )
    .pluck();

  // Less the name of its folder, which tells how often it was begun.
  const assigned = connection
    .prepare<[], string>(
      "SELECT (SELECT CASE WHEN json_valid(facts) THEN json_remove(facts, '$.folder') ELSE facts END FROM assigned) FROM pool",
    )
    .pluck();

  return {
    all: (): Shard[] => all.all(),
    numbered: (number: number): Shard | null => numbered.get(number) ?? null,
    /** Whether any shard was scored under this fingerprint. */
    hasScored: (fingerprint: string): boolean => hasShards.get(fingerprint) === 1,
    /**
     * Says which shards there are. What was scored of one stays with it, and its fingerprint tells whether it still
     * stands. Call inside `atomically`.
     */
    settle({images, left, renewed}: SettledShards): void {
      const numbers = new Set([...images.keys(), ...left.keys()]);
      for (const {number} of all.all()) if (!numbers.has(number) || renewed.has(number)) remove.run(number);
      for (const number of numbers)
        put.run(number, images.get(number) ?? 0, idBytes(left.get(number) ?? new Uint32Array()));
    },
    /** The ids of images that left the pool after this shard was scored: their scores count no more. Ascending. */
    left(number: number): string[] {
      const bytes = left.get(number) ?? Buffer.alloc(0);
      const words = Uint32Array.from({length: bytes.length / 4}, (_, word) => bytes.readUInt32BE(word * 4));
      return bytes.length % ID_BYTES === 0 ? unpackIds(words) : [];
    },
    /** SHA-256 of all shards, and what was scored of them. */
    digest: (): string => digestOf(digested, assigned),
    /** Whether any shard holds a scored image, or may come to. */
    someMayHold: (): boolean => holding.get() === 1,
    setScored(number: number, fingerprint: string, sha256: string, rows: number): void {
      scored.run(fingerprint, sha256, rows, number);
    },
    /** Before it is scored anew. */
    setUnscored(number: number): void {
      unscored.run(number);
    },
  };
}
