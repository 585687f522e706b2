/** The images that were set aside, each with its reason. */
import type {Connection} from './connection.js';

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
  const count = connection.prepare<[string, string], {images: number}>('SELECT count(*) AS images FROM quarantine WHERE stage = ? AND part LIKE ? AND code <> \'LEAK\'');
  const byCode = connection.prepare<[], {stage: string; code: string; images: number}>(
    'SELECT stage, code, count(*) AS images FROM quarantine GROUP BY stage, code ORDER BY images DESC, code',
  );
  const ofImage = connection.prepare<[string], QuarantineRow>('SELECT image, place, code, detail FROM quarantine WHERE image = ? ORDER BY key');
  const ofPlace = connection.prepare<[string], QuarantineRow>('SELECT image, place, code, detail FROM quarantine WHERE place = ? ORDER BY key');
  const some = connection.prepare<[string, number], QuarantineRow>('SELECT image, place, code, detail FROM quarantine WHERE stage LIKE ? ORDER BY key LIMIT ?');
  const moveRoot = connection.prepare<[{from: string; to: string}]>(
    "UPDATE quarantine SET place = @to || substr(place, length(@from) + 1) WHERE substr(place, 1, length(@from) + 1) = @from || '/'",
  );
  return {
    add(stage: string, part: string, row: QuarantineRow): void {
      insert.run(stage, part, row.image, row.place, row.code, row.detail);
    },
    forget(stage: string, part?: string): void {
      if (part === undefined) forget.run(stage);
      else forgetPart.run(stage, part);
    },
    /** Renames a folder in the places of what was set aside. */
    moveRoot(from: string, to: string): void {
      moveRoot.run({from, to});
    },
    /** Images of a stage that failed (leaks are no failures), of one part or of all (`%`). */
    failures(stage: string, part = '%'): number {
      return count.get(stage, part)!.images;
    },
    counts(): {stage: string; code: string; images: number}[] {
      return byCode.all();
    },
    ofImage: (id: string): QuarantineRow[] => ofImage.all(id),
    ofPlace: (place: string): QuarantineRow[] => ofPlace.all(place),
    /** The first `limit` rows of a stage, or of all (`%`). */
    some: (stage: string, limit: number): QuarantineRow[] => some.all(stage, limit),
  };
}
