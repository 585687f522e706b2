/** The images that were set aside, each with its reason. */
import type {Connection} from './connection.js';
import {digestOf, withoutCache} from './digest.js';

export interface QuarantineRow {
  readonly image: string | null;
  readonly place: string;
  readonly code: string;
  readonly detail: string;
}

export function quarantineTable(connection: Connection) {
  const insert = connection.prepare<[string, string, string | null, string, string, string]>(
    'INSERT INTO quarantine (stage, part, image, place, code, detail) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const forget = connection.prepare<[string]>('DELETE FROM quarantine WHERE stage = ?');
  const forgetPart = connection.prepare<[string, string]>('DELETE FROM quarantine WHERE stage = ? AND part = ?');
  const keepParts = connection.prepare<[string, string]>(
    'DELETE FROM quarantine WHERE stage = ? AND part NOT IN (SELECT value FROM json_each(?))',
  );
  const count = connection.prepare<[string, string], {images: number}>(
    "SELECT count(*) AS images FROM quarantine WHERE stage = ? AND part LIKE ? AND code <> 'LEAK'",
  );
  const last = connection.prepare<[string, string], QuarantineRow>(
    "SELECT image, place, code, detail FROM quarantine WHERE stage = ? AND part LIKE ? AND code <> 'LEAK' ORDER BY key DESC LIMIT 1",
  );
  const ofCode = connection.prepare<[string, string], {images: number}>(
    'SELECT count(*) AS images FROM quarantine WHERE stage = ? AND code = ?',
  );
  const partsOfCode = connection.prepare<[string, string], {part: string}>(
    'SELECT DISTINCT part FROM quarantine WHERE stage = ? AND code = ?',
  );
  const byCode = connection.prepare<[], {stage: string; code: string; images: number}>(
    'SELECT stage, code, count(*) AS images FROM quarantine GROUP BY stage, code ORDER BY images DESC, code',
  );
  const ofImage = connection.prepare<[string], QuarantineRow>(
    'SELECT image, place, code, detail FROM quarantine WHERE image = ? ORDER BY key',
  );
  const ofPlace = connection.prepare<[string], QuarantineRow>(
    'SELECT image, place, code, detail FROM quarantine WHERE place = ? ORDER BY key',
  );
  const idsOfPart = connection
    .prepare<[string, string], string>(
      'SELECT image FROM quarantine WHERE stage = ? AND part = ? AND image IS NOT NULL',
    )
    .pluck();
  const forgetImage = connection.prepare<[string, string]>('DELETE FROM quarantine WHERE stage = ? AND image = ?');
  const some = connection.prepare<[string, number], QuarantineRow>(
    'SELECT image, place, code, detail FROM quarantine WHERE stage LIKE ? ORDER BY key LIMIT ?',
  );
  const moveRoot = connection.prepare<[{from: string; to: string}]>(
    "UPDATE quarantine SET place = @to || substr(place, length(@from) + 1) WHERE substr(place, 1, length(@from) + 1) = @from || '/'",
  );
  const texts = connection
    .prepare<[string], string>(
      `SELECT json_array(part, image, ${withoutCache('place')}, code, detail) FROM quarantine WHERE stage = ? ORDER BY key`,
    )
    .pluck();
  return {
    add(stage: string, part: string, row: QuarantineRow): void {
      insert.run(stage, part, row.image, row.place, row.code, row.detail);
    },
    forget(stage: string): void {
      forget.run(stage);
    },
    forgetPart(stage: string, part: string): void {
      forgetPart.run(stage, part);
    },
    /** Forgets those of a stage that are not of one of these parts. */
    keepParts(stage: string, parts: readonly string[]): void {
      keepParts.run(stage, JSON.stringify(parts));
    },
    /** Renames a folder in the places of what was set aside. */
    moveRoot(from: string, to: string): void {
      moveRoot.run({from, to});
    },
    /** SHA-256 of all that a stage set aside. */
    digest: (stage: string): string => digestOf({iterate: () => texts.iterate(stage)}),
    /** Images of a stage that failed (leaks are no failures), of one part or of all (`%`). */
    failures(stage: string, part = '%'): number {
      return count.get(stage, part)!.images;
    },
    /** The last one that `failures` counts. */
    lastFailure: (stage: string, part = '%'): QuarantineRow | undefined => last.get(stage, part),
    /** Images of a stage that were set aside for one reason. */
    countOf: (stage: string, code: string): number => ofCode.get(stage, code)!.images,
    /** The parts of a stage in which an image was set aside for this reason. */
    partsWith: (stage: string, code: string): ReadonlySet<string> =>
      new Set(partsOfCode.all(stage, code).map(({part}) => part)),
    counts(): {stage: string; code: string; images: number}[] {
      return byCode.all();
    },
    /** Images of one part of a stage. */
    idsOfPart: (stage: string, part: string): string[] => idsOfPart.all(stage, part),
    /** Call inside `atomically`. */
    forgetImages(stage: string, ids: readonly string[]): void {
      for (const id of ids) forgetImage.run(stage, id);
    },
    ofImage: (id: string): QuarantineRow[] => ofImage.all(id),
    ofPlace: (place: string): QuarantineRow[] => ofPlace.all(place),
    /** The first `limit` rows of a stage, or of all (`%`). */
    some: (stage: string, limit: number): QuarantineRow[] => some.all(stage, limit),
  };
}
