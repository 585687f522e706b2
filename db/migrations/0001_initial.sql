-- The state of one run: what was found, what each stage made of it, and the rankings.
-- Tables are ours and may change; the views at the end are documented in the README and stable.

-- One row of facts about the run itself: its config as JSON, and who holds it while it runs.
CREATE TABLE run (
  name   TEXT NOT NULL,
  config TEXT,                      -- JSON; null until inputs were accepted
  holder TEXT
) STRICT;

CREATE TABLE sources (
  key  INTEGER PRIMARY KEY,
  role TEXT NOT NULL CHECK (role IN ('labelled', 'validation', 'test', 'unlabelled')),
  spec TEXT NOT NULL,               -- as recognised, JSON
  root TEXT NOT NULL                -- a place is root/file#member
) STRICT;

CREATE TABLE classes (
  position INTEGER PRIMARY KEY,     -- the index that networks and score files use
  name     TEXT NOT NULL UNIQUE
) STRICT;

-- Distinct images by content; the same bytes twice are one row here and two in places.
CREATE TABLE images (
  key   INTEGER PRIMARY KEY,
  id    TEXT NOT NULL UNIQUE,       -- lowercase hex of a content hash
  label INTEGER REFERENCES classes, -- null where it has none, or it is hidden
  split TEXT CHECK (split IN ('train', 'validation', 'test')),
  pool  INTEGER NOT NULL DEFAULT 0  -- 1: the teacher scores it
) STRICT;
CREATE INDEX images_by_split ON images (split, id) WHERE split IS NOT NULL;

CREATE TABLE places (
  image    INTEGER NOT NULL REFERENCES images,
  source   INTEGER NOT NULL REFERENCES sources,
  file     TEXT NOT NULL,
  member   TEXT,
  "offset" INTEGER,
  length   INTEGER,
  encoding TEXT NOT NULL,
  label    TEXT                     -- the label the source gives, by name
) STRICT;
CREATE INDEX places_by_image ON places (image);
CREATE INDEX places_by_file ON places (file);

-- What was set aside, by the stage that found it.
CREATE TABLE quarantine (
  key    INTEGER PRIMARY KEY,
  stage  TEXT NOT NULL,
  part   TEXT NOT NULL,             -- train, validation, test, or the shard
  image  TEXT,                      -- null where the bytes could not be read at all
  place  TEXT NOT NULL,
  code   TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX quarantine_by_stage ON quarantine (stage, part);

-- Consecutive pool images that are scored together.
CREATE TABLE shards (
  number      INTEGER PRIMARY KEY,
  first_image INTEGER NOT NULL,
  last_image  INTEGER NOT NULL,
  images      INTEGER NOT NULL,
  fingerprint TEXT,                 -- of the scoring that is done; null: not scored
  sha256      TEXT,
  rows        INTEGER
) STRICT;

CREATE TABLE class_rankings (
  class      INTEGER PRIMARY KEY REFERENCES classes,
  candidates INTEGER NOT NULL
) STRICT;

CREATE TABLE rankings (
  class    INTEGER NOT NULL,
  rank     INTEGER NOT NULL,        -- from 1
  score    REAL NOT NULL,           -- natural log-probability
  image    TEXT NOT NULL,
  selected INTEGER NOT NULL,        -- 0 only for a vetoed image
  PRIMARY KEY (class, rank)
) STRICT, WITHOUT ROWID;

CREATE TABLE stages (
  name        TEXT PRIMARY KEY,
  status      TEXT NOT NULL CHECK (status IN ('running', 'interrupted', 'failed', 'done', 'skipped')),
  ingredients TEXT,                 -- JSON of what its result depends on; null until it is done
  message     TEXT,                 -- why it failed or was interrupted
  started_at  TEXT NOT NULL,
  seconds     REAL NOT NULL,
  summary     TEXT NOT NULL         -- JSON for the report
) STRICT;

-- What a stage vouches for. A file is trusted while its size, times and inode stay; else its hash is taken again.
CREATE TABLE outputs (
  stage  TEXT NOT NULL REFERENCES stages ON DELETE CASCADE,
  name   TEXT NOT NULL,             -- what later stages call it
  path   TEXT,                      -- relative to the home; null for rows of this database
  sha256 TEXT NOT NULL,
  stamp  TEXT                       -- size, modification and change time, inode
) STRICT;
CREATE INDEX outputs_by_stage ON outputs (stage);

CREATE TABLE events (
  sequence INTEGER PRIMARY KEY,
  at       TEXT NOT NULL,           -- wall time, only to be shown
  stage    TEXT,
  type     TEXT NOT NULL,
  body     TEXT NOT NULL            -- the event as JSON
) STRICT;

-- ------------------------------------------------------------------ stable views

CREATE VIEW image AS
  SELECT i.id AS image,
         (SELECT s.root || '/' || p.file || coalesce('#' || p.member, '')
            FROM places p JOIN sources s ON s.key = p.source WHERE p.image = i.key ORDER BY p.rowid LIMIT 1) AS place,
         (SELECT name FROM classes WHERE position = i.label) AS label,
         i.split, i.pool
    FROM images i;

CREATE VIEW ranking AS
  SELECT c.name AS class, r.rank, r.score, r.image,
         (SELECT s.root || '/' || p.file || coalesce('#' || p.member, '')
            FROM images i JOIN places p ON p.image = i.key JOIN sources s ON s.key = p.source
           WHERE i.id = r.image ORDER BY p.rowid LIMIT 1) AS place,
         r.selected
    FROM rankings r JOIN classes c ON c.position = r.class;

CREATE VIEW stage AS SELECT name, status, message, started_at, seconds, summary FROM stages;

CREATE VIEW event AS SELECT sequence, at, stage, type, body FROM events;
