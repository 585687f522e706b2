/**
 * The sources of a run, its classes, and the images of its labelled sets: each with every place that it lies in there,
 * and what it is for. The pool's are in files: see src/pool/.
 */
import {createHash} from 'node:crypto';
import type {SourceSpec} from '../children/protocol.js';
import type {ListedImage} from '../pool/listing-files.js';
import {RECORD_WORDS} from '../pool/id-table.js';
import {packIds} from '../ranking/image-ids.js';
import {parseCell} from './cell.js';
import type {Connection} from './connection.js';
import {digestOf, withoutCache} from './digest.js';
import {drawSizes, type Draw} from './draw.js';

export type Role = 'labelled' | 'validation' | 'test' | 'unlabelled';
export type Split = 'train' | 'validation' | 'test';

/** What listing a source told besides its images, and the files that it was told of. */
export interface SourceListing {
  /** Of its files: names, sizes, times. */
  readonly snapshot: string;
  /** SHA-256 of what it left: of a labelled set its rows, else its files. */
  readonly digest: string;
  /** Larger files were left out; unknown of listings of before. */
  readonly maxFileBytes?: number;
  /** How many it listed, those with a problem included. */
  readonly seen: number;
  /** Those that the source declares; null where only labels tell. */
  readonly classes: readonly string[] | null;
  readonly warnings: readonly string[];
  /** Of each file of the listing how many images it holds. */
  readonly chunks?: readonly number[];
}

export interface SourceRecord {
  readonly key: number;
  readonly role: Role;
  readonly spec: SourceSpec;
  readonly root: string;
  /** In which its listing lies, by name; null where there is none. */
  readonly folder: string | null;
  /** Null where listing it was cut short. */
  readonly listing: SourceListing | null;
}

/** An image and one place where its bytes can be read. */
export interface LocatedImage {
  readonly id: string;
  readonly label: number | null;
  readonly place: string;
  /** Absolute printable path. */
  readonly file: string;
  readonly offset: number | null;
  readonly length: number | null;
  readonly encoding: ListedImage['encoding'];
}

/** What lay at a place of a labelled set, and the label that it has there. */
export type LabelledPlace = Pick<ListedImage, 'id' | 'file' | 'member' | 'label'>;

export interface DrawOptions extends Draw {
  readonly seed: number;
  /** Whether what is left over joins the pool with its labels hidden. */
  readonly restIsPool: boolean;
}

/** Rows read at once where reading and writing take turns. */
const PAGE = 1000;

const place = `s.root || '/' || p.file || coalesce('#' || p.member, '')`;
const located = `
  SELECT i.id, i.label, ${place} AS place, s.root || '/' || p.file AS file, p."offset", p.length, p.encoding
    FROM images i
    JOIN places p ON p.rowid = (SELECT min(rowid) FROM places WHERE image = i.key)
    JOIN sources s ON s.key = p.source`;
const hasRole = `EXISTS (SELECT 1 FROM places p JOIN sources s ON s.key = p.source WHERE p.image = images.key AND s.role = ?)`;

export function imageTables(connection: Connection) {
  const insertSource = connection.prepare<[Role, string, string, string]>(
    'INSERT INTO sources (role, spec, root, folder) VALUES (?, ?, ?, ?)',
  );
  const moveRoot = connection.prepare<[string, string]>('UPDATE sources SET root = ? WHERE root = ?');
  const sources = connection.prepare<
    [],
    {key: number; role: Role; spec: string; root: string; folder: string | null; listing: string | null}
  >('SELECT key, role, spec, root, folder, listing FROM sources ORDER BY key');
  const setListing = connection.prepare<[string, number]>('UPDATE sources SET listing = ? WHERE key = ?');
  const insertClass = connection.prepare<[number, string]>('INSERT INTO classes (position, name) VALUES (?, ?)');
  const classes = connection.prepare<[], {name: string}>('SELECT name FROM classes ORDER BY position');
  const insertImage = connection.prepare<[string]>('INSERT OR IGNORE INTO images (id) VALUES (?)');
  const keyOf = connection.prepare<[string], {key: number}>('SELECT key FROM images WHERE id = ?');
  const insertPlace = connection.prepare<
    [number, number, string, string | null, number | null, number | null, string, string | null]
  >(
    'INSERT INTO places (image, source, file, member, "offset", length, encoding, label) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const labelsOf = connection.prepare<[Role], {label: string; images: number}>(
    'SELECT p.label, count(DISTINCT p.image) AS images FROM places p JOIN sources s ON s.key = p.source WHERE s.role = ? AND p.label IS NOT NULL GROUP BY p.label',
  );
  const ofSplit = connection.prepare<[Split, string, number], LocatedImage>(
    `${located} WHERE i.split = ? AND i.id > ? ORDER BY i.id LIMIT ?`,
  );
  const byId = connection.prepare<[string], LocatedImage>(`${located} WHERE i.id = ?`);
  const byPrefix = connection.prepare<[string, string], {id: string}>(
    'SELECT id FROM images WHERE id >= ? AND id < ? ORDER BY id LIMIT 2',
  );
  const byFile = connection.prepare<[string, string, string | null], {id: string}>(
    `SELECT i.id FROM places p JOIN sources s ON s.key = p.source JOIN images i ON i.key = p.image WHERE p.file = ? AND s.root = ? AND p.member IS ? LIMIT 1`,
  );
  const placesOf = connection.prepare<[string], {place: string}>(
    `SELECT ${place} AS place FROM places p JOIN sources s ON s.key = p.source JOIN images i ON i.key = p.image WHERE i.id = ? ORDER BY p.rowid`,
  );
  const splitOf = connection.prepare<[string], {split: Split | null}>('SELECT split FROM images WHERE id = ?');
  const splitCounts = connection.prepare<[], {split: Split; label: number; images: number}>(
    'SELECT split, label, count(*) AS images FROM images WHERE split IS NOT NULL GROUP BY split, label',
  );
  const rest = connection.prepare<[], ListedImage & {source: number}>(`
    SELECT i.id, p.source, p.file, p.member, p."offset", p.length, p.encoding, NULL AS label
      FROM images i JOIN places p ON p.rowid = (SELECT min(o.rowid) FROM places o JOIN sources s ON s.key = o.source WHERE o.image = i.key AND s.role = 'labelled')
     WHERE i.pool = 1 ORDER BY i.key`);
  const ids = connection.prepare<[], {id: string; isHeldOut: number}>(`
    SELECT id, split IN ('validation', 'test') OR EXISTS (
             SELECT 1 FROM places p JOIN sources s ON s.key = p.source WHERE p.image = images.key AND s.role IN ('validation', 'test')) AS isHeldOut
      FROM images ORDER BY id`);
  const setPool = connection.prepare<[string]>('UPDATE images SET pool = 1 WHERE id = ?');
  const listed = connection.prepare<[number], LabelledPlace>(
    'SELECT i.id, p.file, p.member, p.label FROM places p JOIN images i ON i.key = p.image WHERE p.source = ? ORDER BY p.rowid',
  );

  const listedRows = connection
    .prepare<[number], string>(
      `SELECT json_array(i.id, p.file, p.member, p."offset", p.length, p.encoding, p.label) FROM places p JOIN images i ON i.key = p.image WHERE p.source = ? ORDER BY p.rowid`,
    )
    .pluck();

  const texts = (sql: string) => connection.prepare<[], string>(sql).pluck();
  const listing = [
    // Less the names of folders, which tell how often something was begun.
    texts(
      "SELECT CASE WHEN json_valid(listed) THEN json_remove(listed, '$.listings', '$.table.folder') ELSE listed END FROM pool",
    ),
    texts(
      "SELECT json_array(value ->> 'source', value ->> 'chunks') FROM pool, json_each(CASE WHEN json_valid(listed) THEN listed ELSE '{}' END, '$.listings')",
    ),
    texts(`SELECT json_array(key, role, spec, ${withoutCache('root')}, listing) FROM sources ORDER BY key`),
    texts(
      "SELECT key || ' ' || id || ' ' || ifnull(label, '-') || ' ' || ifnull(split, '-') || ' ' || pool FROM images ORDER BY key",
    ),
    texts(
      `SELECT json_array(rowid, image, source, file, member, "offset", length, encoding, label) FROM places ORDER BY rowid`,
    ),
  ];

  /** Gives images with a place in a source of this role, and one label there, their label and split. */
  const assign = (split: Split, role: Role): void => {
    connection
      .prepare(
        `UPDATE images SET split = ?, label = (
           SELECT c.position FROM places p JOIN sources s ON s.key = p.source JOIN classes c ON c.name = p.label WHERE p.image = images.key AND s.role = ?)
         WHERE split IS NULL AND ${hasRole} AND key NOT IN (SELECT image FROM conflicted)`,
      )
      .run(split, role, role);
  };

  /**
   * Images to which a set of their own gives two labels, with the first such set; those of held-out sets take part in
   * nothing.
   */
  const conflictsOf = (role: Role): {id: string; place: string; detail: string}[] =>
    connection
      .prepare<[Role], {id: string; place: string; labels: string}>(
        `SELECT i.id, min(${place}) AS place, json_group_array(DISTINCT p.label) AS labels
           FROM places p JOIN sources s ON s.key = p.source JOIN images i ON i.key = p.image
          WHERE s.role = ? AND i.split IS NULL GROUP BY i.key HAVING count(DISTINCT p.label) > 1`,
      )
      .all(role)
      .map(({id, place, labels}) => ({
        id,
        place,
        detail: `the same bytes are labelled ${(JSON.parse(labels) as string[]).join(' and ')}${role === 'labelled' ? '' : ` in the ${role} set`}`,
      }));

  return {
    /**
     * Forgets what all images are for, every source but those with these keys, images that lie nowhere then, and what the
     * pool and the rankings have of the others: another source may come to have their keys. Call inside `atomically`.
     */
    keepSources(keys: readonly number[]): void {
      const kept = JSON.stringify(keys);
      connection.prepare('UPDATE images SET split = NULL, label = NULL, pool = 0').run();
      const dropped = connection
        .prepare<[string]>('DELETE FROM places WHERE source NOT IN (SELECT value FROM json_each(?))')
        .run(kept).changes;
      connection.prepare<[string]>('DELETE FROM sources WHERE key NOT IN (SELECT value FROM json_each(?))').run(kept);
      connection.prepare<[string]>('DELETE FROM chosen WHERE source NOT IN (SELECT value FROM json_each(?))').run(kept);
      connection.exec(`
        UPDATE pool SET listed = json_set(listed, '$.listings', json('[]'))
         WHERE EXISTS (SELECT 1 FROM json_each(listed, '$.listings') WHERE value ->> 'source' NOT IN (SELECT key FROM sources))`);
      if (dropped > 0)
        connection.prepare('DELETE FROM images WHERE NOT EXISTS (SELECT 1 FROM places WHERE image = images.key)').run();
    },
    /** `folder` is the name of the one that its listing lies in. */
    addSource(role: Role, spec: SourceSpec, root: string, folder: string): number {
      return Number(insertSource.run(role, JSON.stringify(spec), root, folder).lastInsertRowid);
    },
    /** Tells the sources that lay in a folder that it has another name. */
    moveRoot(from: string, to: string): void {
      moveRoot.run(to, from);
    },
    sources(): SourceRecord[] {
      return sources
        .all()
        .map(row => ({
          ...row,
          spec: parseCell(connection, `source ${row.key}`, row.spec) as SourceSpec,
          listing:
            row.listing === null
              ? null
              : (parseCell(connection, `the listing of source ${row.key}`, row.listing) as SourceListing),
        }));
    },
    /** Records that all of a source is listed. */
    setListing(key: number, listing: SourceListing): void {
      setListing.run(JSON.stringify(listing), key);
    },
    /** SHA-256 of what listing a source left: its places, and the images that lie there. */
    sourceDigest: (key: number): string => digestOf({iterate: () => listedRows.iterate(key)}),
    /** Adds an image of a labelled set: a new one, or one more place of an image known already. */
    addListed(source: number, {id, file, member, offset, length, encoding, label}: ListedImage): void {
      const inserted = insertImage.run(id);
      const key = inserted.changes > 0 ? Number(inserted.lastInsertRowid) : keyOf.get(id)!.key;
      insertPlace.run(key, source, file, member, offset, length, encoding, label);
    },
    /** Sets the class list. Rankings count by it, so those of another list are dropped. Call inside `atomically`. */
    setClasses(names: readonly string[]): void {
      if (JSON.stringify(names) === JSON.stringify(classes.all().map(row => row.name))) return;
      for (const table of ['rankings', 'class_rankings', 'classes']) connection.prepare(`DELETE FROM ${table}`).run();
      names.forEach((name, position) => insertClass.run(position, name));
    },
    classes: (): string[] => classes.all().map(row => row.name),
    /** Label names of a role's sources, with how many distinct images each has. */
    labels: (role: Role): Map<string, number> => new Map(labelsOf.all(role).map(row => [row.label, row.images])),

    /**
     * Settles what each image is for. Test images are test images wherever else they lie; then validation; then
     * labelled ones, drawn class by class in an order that depends on the seed and the content alone. Returns the images
     * that were found in a set and in one that must not know it, and those labelled twice.
     */
    split(options: DrawOptions): {
      leaks: {id: string; place: string; detail: string}[];
      conflicts: {id: string; place: string; detail: string}[];
    } {
      connection.function('draw_order', {deterministic: true}, id =>
        createHash('sha256')
          .update(`${options.seed} ${String(id)}`)
          .digest('hex'),
      );
      const inBoth = (first: Role, second: Role) =>
        connection
          .prepare<[Role, Role], {id: string; place: string}>(
            `SELECT images.id, ${place} AS place FROM images JOIN places p ON p.image = images.key JOIN sources s ON s.key = p.source
              WHERE s.role = ? AND ${hasRole} GROUP BY images.key ORDER BY images.id`,
          )
          .all(first, second);
      const leaks = [
        ...inBoth('validation', 'test').map(row => ({
          ...row,
          detail: 'in the validation set and in the test set: kept in the test set only',
        })),
        ...inBoth('labelled', 'test').map(row => ({
          ...row,
          detail: 'in the labelled set and in the test set: kept in the test set only',
        })),
        ...inBoth('labelled', 'validation').map(row => ({
          ...row,
          detail: 'in the labelled set and in the validation set: not trained on',
        })),
      ];
      // Whatever else such an image is: it belongs to a set that nothing may be learnt from.
      connection.exec(`
        CREATE TEMP TABLE conflicted AS
        SELECT DISTINCT p.image FROM places p JOIN sources s ON s.key = p.source
         WHERE s.role IN ('test', 'validation') GROUP BY s.role, p.image HAVING count(DISTINCT p.label) > 1`);
      const conflicts = conflictsOf('test');
      assign('test', 'test');
      conflicts.push(...conflictsOf('validation'));
      assign('validation', 'validation');
      conflicts.push(...conflictsOf('labelled'));

      connection.exec(`
        CREATE TEMP TABLE drawn AS
        SELECT p.image, c.position AS label,
               row_number() OVER (PARTITION BY c.position ORDER BY draw_order(i.id), i.id) AS turn
          FROM (SELECT image, min(label) AS label FROM places p JOIN sources s ON s.key = p.source
                 WHERE s.role = 'labelled' GROUP BY image HAVING count(DISTINCT label) = 1) p
          JOIN images i ON i.key = p.image JOIN classes c ON c.name = p.label
         WHERE i.split IS NULL AND p.image NOT IN (SELECT image FROM conflicted)`);
      connection.exec('CREATE TEMP TABLE sizes (label INTEGER PRIMARY KEY, validation INTEGER, train INTEGER)');
      const insertSize = connection.prepare<[number, number, number]>('INSERT INTO sizes VALUES (?, ?, ?)');
      const found = connection
        .prepare<[], {label: number; images: number}>('SELECT label, count(*) AS images FROM drawn GROUP BY label')
        .all();
      for (const {label, images} of found) {
        const {validation, train} = drawSizes(images, options);
        insertSize.run(label, validation, train);
      }
      connection.exec(`
        UPDATE images SET split = CASE WHEN d.turn <= s.validation THEN 'validation' ELSE 'train' END, label = d.label
          FROM drawn d JOIN sizes s ON s.label = d.label
         WHERE d.image = images.key AND d.turn <= s.validation + s.train`);
      if (options.restIsPool)
        connection.exec('UPDATE images SET pool = 1 WHERE split IS NULL AND key IN (SELECT image FROM drawn)');
      connection.exec('DROP TABLE drawn');
      connection.exec('DROP TABLE sizes');
      connection.exec('DROP TABLE conflicted');
      return {leaks, conflicts};
    },

    /** Images of a split a class, in class order. */
    splitCounts(split: Split, classCount: number): number[] {
      const counts = new Array<number>(classCount).fill(0);
      for (const row of splitCounts.all()) if (row.split === split) counts[row.label] = row.images;
      return counts;
    },
    /** Images of a split. */
    splitSize: (split: Split): number =>
      splitCounts.all().reduce((sum, row) => sum + (row.split === split ? row.images : 0), 0),
    /** The images of a split, by id; in pages, so that the connection is free to write between them. */
    *ofSplit(split: Split): Generator<LocatedImage> {
      for (let after = ''; ;) {
        const page = ofSplit.all(split, after, PAGE);
        yield* page;
        if (page.length < PAGE) return;
        after = page.at(-1)!.id;
      }
    },
    /** What the labelled draw left over for the pool, in the order of listing, and the key of its source. */
    rest: (): IterableIterator<ListedImage & {source: number}> => rest.iterate(),
    /**
     * All images as records in the order of their ids (see src/pool/id-table.ts), with 1 for those that nothing may be
     * learnt from, else 0.
     */
    records(): Uint32Array {
      const all = ids.all();
      const [words, records] = [packIds(all.map(({id}) => id)), new Uint32Array(all.length * RECORD_WORDS)];
      for (const [row, {isHeldOut}] of all.entries()) {
        records.set(words.subarray(row * (RECORD_WORDS - 1), (row + 1) * (RECORD_WORDS - 1)), row * RECORD_WORDS);
        records[(row + 1) * RECORD_WORDS - 1] = isHeldOut;
      }
      return records;
    },
    /** Says which of the images are in the pool. Call inside `atomically`. */
    setPool(ids: readonly string[]): void {
      connection.prepare('UPDATE images SET pool = 0').run();
      for (const id of ids) setPool.run(id);
    },
    byId: (id: string): LocatedImage | null => byId.get(id) ?? null,
    /** Up to two ids that begin so: two mean that the prefix is ambiguous. */
    idsWithPrefix: (prefix: string): string[] => byPrefix.all(prefix, `${prefix}g`).map(row => row.id),
    /** The image at `root/file#member`, looked for under every source's root. */
    idAt(printablePath: string): string | null {
      for (const {root} of sources.all()) {
        if (!printablePath.startsWith(`${root}/`)) continue;
        const rest = printablePath.slice(root.length + 1);
        let row = byFile.get(rest, root, null);
        // Names of files and of members may hold the separator, too.
        for (let hash = rest.indexOf('#'); !row && hash > 0; hash = rest.indexOf('#', hash + 1))
          row = byFile.get(rest.slice(0, hash), root, rest.slice(hash + 1));
        if (row) return row.id;
      }
      return null;
    },
    placesOf: (id: string): string[] => placesOf.all(id).map(row => row.place),
    /** Null where no labelled set has it, or it was drawn for none. */
    splitOf: (id: string): Split | null => splitOf.get(id)?.split ?? null,
    /** SHA-256 of all that was listed: sources, images with what each is for, and their places. */
    listingDigest: (): string => digestOf(...listing),
    /** SHA-256 of the class list. */
    classesDigest: (): string =>
      createHash('sha256')
        .update(JSON.stringify(classes.all().map(row => row.name)))
        .digest('hex'),
    /** Every place of a labelled set with what lay there. Read it to its end before writing. */
    listed: (source: number): IterableIterator<LabelledPlace> => listed.iterate(source),
  };
}
