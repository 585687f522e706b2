/** The per-class rankings: written once by select, read by everyone who asks what was chosen and why. */
import {idBytes, ID_BYTES, ID_WORDS} from '../ranking/image-ids.js';
import type {ClassRanking} from '../ranking/select.js';
import type {Connection} from './connection.js';
import {digestOf} from './digest.js';

export interface ClassSummary {
  readonly class: string;
  readonly candidates: number;
  readonly selected: number;
  /** Score of the last kept image; null where there is none. */
  readonly cutoff: number | null;
}

export interface RankingRow {
  readonly rank: number;
  readonly score: number;
  readonly image: string;
  /** Empty where it lies nowhere any more. */
  readonly place: string;
  readonly selected: number;
}

/** Rows a statement inserts at once; several rows a statement are about ten times as fast as one. */
const ROWS_AT_ONCE = 100;

export function rankingTables(connection: Connection) {
  const clear = connection.prepare('DELETE FROM rankings');
  const clearClasses = connection.prepare('DELETE FROM class_rankings');
  const insertClass = connection.prepare<[number, number]>(
    'INSERT INTO class_rankings (class, candidates) VALUES (?, ?)',
  );
  const dropIndex = connection.prepare('DROP INDEX IF EXISTS rankings_by_image');
  const insertRows = (rows: number) =>
    connection.prepare<[number[], {class: number; rank: number; ids: Buffer}]>(
      `INSERT INTO rankings (class, rank, score, image, selected) VALUES ${Array.from({length: rows}, (_, row) => `(@class, @rank + ${row}, ?, substr(@ids, ${row * ID_BYTES + 1}, ${ID_BYTES}), 1)`).join(', ')}`,
    );
  const insertMany = insertRows(ROWS_AT_ONCE);
  const insertOne = insertRows(1);
  const summaries = connection.prepare<[], ClassSummary>(`
    SELECT c.name AS class, r.candidates,
           coalesce(last.rank, 0) - (SELECT count(*) FROM rankings v WHERE v.class = r.class AND v.selected = 0) AS selected,
           last.score AS cutoff
      FROM class_rankings r JOIN classes c ON c.position = r.class
      LEFT JOIN rankings last ON last.class = r.class AND last.rank = (SELECT max(rank) FROM rankings WHERE class = r.class)
     ORDER BY r.class`);
  const rows = connection.prepare<[string, number, number], RankingRow>(
    "SELECT rank, score, image, coalesce(place, '') AS place, selected FROM ranking WHERE class = ? ORDER BY rank LIMIT ? OFFSET ?",
  );
  const ofImage = connection.prepare<[string], {class: string; rank: number; selected: number}>(
    'SELECT c.name AS class, r.rank, r.selected FROM rankings r JOIN classes c ON c.position = r.class WHERE r.image = unhex(?) ORDER BY r.class',
  );

  const excludeSetAside = connection.prepare<[string, string]>(
    'UPDATE rankings SET selected = 0 WHERE image IN (SELECT unhex(image) FROM quarantine WHERE stage = ? AND code = ?)',
  );

  const texts = [
    connection.prepare<[], string>("SELECT class || ' ' || candidates FROM class_rankings ORDER BY class").pluck(),
    // In the order of the primary key, a class at a time: with a row each it takes twice as long. `quote` tells every
    // bit of a score.
    connection
      .prepare<[], string>(
        "SELECT class || ':' || group_concat(rank || ' ' || quote(score) || ' ' || hex(image) || ' ' || selected) FROM rankings GROUP BY class",
      )
      .pluck(),
  ];

  return {
    /** Replaces all rankings. Call inside `atomically`. `of(class)` is asked once for each class, in order. */
    replace(classes: number, of: (classIndex: number) => ClassRanking): void {
      dropIndex.run();
      clear.run();
      clearClasses.run();
      for (let classIndex = 0; classIndex < classes; classIndex++) {
        const {candidates, ranked} = of(classIndex);
        insertClass.run(classIndex, candidates);
        const count = ranked.scores.length;
        for (let from = 0; from < count;) {
          const to = count - from >= ROWS_AT_ONCE ? from + ROWS_AT_ONCE : from + 1;
          const insert = to - from === ROWS_AT_ONCE ? insertMany : insertOne;
          insert.run([...ranked.scores.subarray(from, to)], {
            class: classIndex,
            rank: from + 1,
            ids: idBytes(ranked.ids.subarray(from * ID_WORDS, to * ID_WORDS)),
          });
          from = to;
        }
      }
      // Last, since an index that grows with the rows is several times slower.
      connection.exec('CREATE INDEX rankings_by_image ON rankings (image)');
    },
    /**
     * Nothing is learned from images that a stage set aside for this reason. Returns how many places in rankings they
     * had.
     */
    excludeSetAside: (stage: string, code: string): number => excludeSetAside.run(stage, code).changes,
    /** SHA-256 of all rankings. */
    digest: (): string => digestOf(...texts),
    summaries: (): ClassSummary[] => summaries.all(),
    rows: (className: string, limit: number, offset: number): RankingRow[] => rows.all(className, limit, offset),
    /** Where an image stands, class by class. */
    ofImage: (image: string): {class: string; rank: number; selected: number}[] => ofImage.all(image),
  };
}
