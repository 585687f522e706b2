/** The per-class rankings: written once by select, read by everyone who asks what was chosen and why. */
import type {Connection} from './connection.js';
import type {Shard} from './shards.js';

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
  readonly place: string;
  readonly selected: number;
}

export interface SelectedImage {
  readonly image: string;
  /** Indices of the classes that selected it, ascending. */
  readonly classes: readonly number[];
}

/** Rows a statement inserts at once; several rows a statement are about ten times as fast as one. */
const ROWS_AT_ONCE = 100;
export function rankingTables(connection: Connection) {
  const clear = connection.prepare('DELETE FROM rankings');
  const clearClasses = connection.prepare('DELETE FROM class_rankings');
  const insertClass = connection.prepare<[number, number]>('INSERT INTO class_rankings (class, candidates) VALUES (?, ?)');
  const dropIndex = connection.prepare('DROP INDEX IF EXISTS rankings_by_image');
  const insertRows = (rows: number) =>
    connection.prepare<(number | string)[]>(
      `INSERT INTO rankings (class, rank, score, image, selected) VALUES ${Array.from({length: rows}, () => '(?, ?, ?, ?, 1)').join(', ')}`,
    );
  const insertMany = insertRows(ROWS_AT_ONCE);
  const insertOne = insertRows(1);
  const summaries = connection.prepare<[], ClassSummary>(`
    SELECT c.name AS class, r.candidates,
           (SELECT count(*) FROM rankings k WHERE k.class = r.class AND k.selected = 1) AS selected,
           (SELECT k.score FROM rankings k WHERE k.class = r.class ORDER BY k.rank DESC LIMIT 1) AS cutoff
      FROM class_rankings r JOIN classes c ON c.position = r.class ORDER BY r.class`);
  const rows = connection.prepare<[string, number, number], RankingRow>(
    'SELECT rank, score, image, place, selected FROM ranking WHERE class = ? ORDER BY rank LIMIT ? OFFSET ?',
  );
  const ofImage = connection.prepare<[string], {class: string; rank: number; selected: number}>(
    'SELECT c.name AS class, r.rank, r.selected FROM rankings r JOIN classes c ON c.position = r.class WHERE r.image = ? ORDER BY r.class',
  );
  // CROSS JOIN keeps the order of the loops: the few images of a shard are looked up among the many rows, not the other way round.
  const selected = connection.prepare<[number, number], {image: string; classes: string}>(`
    SELECT i.id AS image, group_concat(r.class ORDER BY r.class) AS classes
      FROM images i CROSS JOIN rankings r ON r.image = i.id AND r.selected = 1
     WHERE i.key BETWEEN ? AND ? AND i.pool = 1 GROUP BY i.key ORDER BY i.key`);

  return {
    /** Replaces all rankings. Call inside `atomically`. `of(class)` is asked once for each class, in order. */
    replace(classes: number, of: (classIndex: number) => {candidates: number; ranked: readonly {score: number; image: string}[]}): void {
      dropIndex.run();
      clear.run();
      clearClasses.run();
      for (let classIndex = 0; classIndex < classes; classIndex++) {
        const {candidates, ranked} = of(classIndex);
        insertClass.run(classIndex, candidates);
        for (let from = 0; from < ranked.length; from += ROWS_AT_ONCE) {
          const values = ranked.slice(from, from + ROWS_AT_ONCE).map((row, offset) => [classIndex, from + offset + 1, row.score, row.image]);
          if (values.length === ROWS_AT_ONCE) insertMany.run(...values.flat());
          else for (const row of values) insertOne.run(...row);
        }
      }
      // Last, since an index that grows with the rows is several times slower.
      connection.exec('CREATE INDEX rankings_by_image ON rankings (image)');
    },
    summaries: (): ClassSummary[] => summaries.all(),
    rows: (className: string, limit: number, offset: number): RankingRow[] => rows.all(className, limit, offset),
    /** Where an image stands, class by class. */
    ofImage: (image: string): {class: string; rank: number; selected: number}[] => ofImage.all(image),
    /** The selected among the images of a shard, in their order, each once with the classes it stands for. */
    selectedOf: ({firstImage, lastImage}: Pick<Shard, 'firstImage' | 'lastImage'>): SelectedImage[] =>
      selected.all(firstImage, lastImage).map(({image, classes}) => ({image, classes: classes.split(',').map(Number)})),
  };
}
