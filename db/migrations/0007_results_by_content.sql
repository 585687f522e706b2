-- Files are known by their hashes, which a home keeps by what changes with their bytes (db/file-hashes): a stamp of one run would be wrong as soon as another one has the file, too.

ALTER TABLE outputs DROP COLUMN stamp;

UPDATE packs SET files = (
  SELECT json_group_object(replace(path, rtrim(path, replace(path, '/', '')), ''), sha256)
    FROM outputs WHERE stage = 'prepare' AND name = packs.name AND path IS NOT NULL);

-- What tells the shard of an image is the scoring's, not the listing's. One row once images were put into shards, as JSON.
CREATE TABLE assigned (
  facts TEXT NOT NULL
) STRICT;
INSERT INTO assigned SELECT assigned FROM pool WHERE assigned IS NOT NULL;
ALTER TABLE pool DROP COLUMN assigned;

-- The baseline is a stage of its own.
UPDATE events SET stage = 'baseline', body = json_set(body, '$.stage', 'baseline', '$.part', '')
 WHERE stage = 'evaluate' AND json_valid(body) AND body ->> 'part' = 'baseline';

-- What the run is a part of was told by its name alone.
ALTER TABLE run ADD COLUMN experiment TEXT;               -- with the next two, the arm that it is; null for a run of its own
ALTER TABLE run ADD COLUMN arm TEXT;
ALTER TABLE run ADD COLUMN seed INTEGER;
ALTER TABLE run ADD COLUMN first_round TEXT;              -- the run whose round it is: itself, in the first
ALTER TABLE run ADD COLUMN round INTEGER NOT NULL DEFAULT 1;
UPDATE run SET first_round = name;
