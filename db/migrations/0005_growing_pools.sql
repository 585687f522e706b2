-- A pool grows and shrinks: an image keeps its key and the shard that it was scored in, whatever is listed anew.

ALTER TABLE sources ADD COLUMN listing TEXT; -- JSON of what listing it told, and of the files that it was listed from; null while it is being listed
ALTER TABLE images ADD COLUMN shard INTEGER; -- the shard that it is scored in, or was, while it is not in the pool
UPDATE images SET shard = (SELECT number FROM shards WHERE key BETWEEN first_image AND last_image) WHERE pool = 1;
CREATE INDEX images_left ON images (shard, id) WHERE pool = 0 AND shard IS NOT NULL;

-- What each pack was made of: one that would be made of the same stays.
CREATE TABLE packs (
  name  TEXT PRIMARY KEY,
  made  TEXT NOT NULL,              -- SHA-256 of its pictures in order, their labels, and how they become pixels
  files TEXT NOT NULL               -- JSON of its files' stamps
) STRICT;

-- An image that lies nowhere any more is kept for the scores that it has, and shown to nobody.
DROP VIEW image;
CREATE VIEW image AS
  SELECT i.id AS image,
         (SELECT s.root || '/' || p.file || coalesce('#' || p.member, '')
            FROM places p JOIN sources s ON s.key = p.source WHERE p.image = i.key ORDER BY p.rowid LIMIT 1) AS place,
         (SELECT name FROM classes WHERE position = i.label) AS label,
         i.split, i.pool
    FROM images i WHERE EXISTS (SELECT 1 FROM places WHERE image = i.key);
