-- The pool is listed in files (src/pool/), a few dozen bytes an image; the database keeps what people ask for: the labelled sets, and what was chosen.

DROP VIEW image;
DROP VIEW ranking;

-- Where the images lie that stand in the rankings, of those that are in no labelled set.
CREATE TABLE chosen (
  id       TEXT PRIMARY KEY,
  source   INTEGER NOT NULL,        -- the key of one of `sources`
  file     TEXT NOT NULL,
  member   TEXT,
  "offset" INTEGER,
  length   INTEGER,
  encoding TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX chosen_by_file ON chosen (file);
INSERT INTO chosen
SELECT i.id, p.source, p.file, p.member, p."offset", p.length, p.encoding
  FROM images i JOIN places p ON p.rowid = (SELECT min(rowid) FROM places WHERE image = i.key)
 WHERE EXISTS (SELECT 1 FROM rankings WHERE image = unhex(i.id))
   AND NOT EXISTS (SELECT 1 FROM places o JOIN sources s ON s.key = o.source WHERE o.image = i.key AND s.role <> 'unlabelled');

-- One row once the pool is settled, as JSON.
CREATE TABLE pool (
  listed   TEXT NOT NULL,           -- what its files hold
  assigned TEXT,                    -- of those that tell the shard of an image; null until there are any
  change   TEXT NOT NULL            -- how many images joined it and left it since they were put into shards
) STRICT;

DROP INDEX images_left;
ALTER TABLE images DROP COLUMN shard;
DELETE FROM places WHERE source IN (SELECT key FROM sources WHERE role = 'unlabelled');
DELETE FROM images WHERE NOT EXISTS (SELECT 1 FROM places WHERE image = images.key);
-- The folder of the files that it was listed into; null for one that was listed before there were such.
ALTER TABLE sources ADD COLUMN folder TEXT;
UPDATE sources SET listing = NULL WHERE role = 'unlabelled';

-- Ids of images that left the pool after the shard was scored, 12 bytes each.
ALTER TABLE shards DROP COLUMN first_image;
ALTER TABLE shards DROP COLUMN last_image;
ALTER TABLE shards ADD COLUMN left_ids BLOB NOT NULL DEFAULT x'';

CREATE VIEW image AS
  SELECT i.id AS image,
         (SELECT s.root || '/' || p.file || coalesce('#' || p.member, '')
            FROM places p JOIN sources s ON s.key = p.source WHERE p.image = i.key ORDER BY p.rowid LIMIT 1) AS place,
         (SELECT name FROM classes WHERE position = i.label) AS label,
         i.split, i.pool
    FROM images i
   UNION ALL
  SELECT c.id, s.root || '/' || c.file || coalesce('#' || c.member, ''), NULL, NULL, 1
    FROM chosen c JOIN sources s ON s.key = c.source;

CREATE VIEW ranking AS
  SELECT c.name AS class, r.rank, r.score, lower(hex(r.image)) AS image,
         coalesce(
           (SELECT s.root || '/' || p.file || coalesce('#' || p.member, '')
              FROM images i JOIN places p ON p.image = i.key JOIN sources s ON s.key = p.source
             WHERE i.id = lower(hex(r.image)) ORDER BY p.rowid LIMIT 1),
           (SELECT s.root || '/' || o.file || coalesce('#' || o.member, '')
              FROM chosen o JOIN sources s ON s.key = o.source WHERE o.id = lower(hex(r.image)))) AS place,
         r.selected
    FROM rankings r JOIN classes c ON c.position = r.class;
