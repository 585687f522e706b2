-- Rankings hold the 12 bytes that an image's id says in hex, not the hex: there may be many millions of rows.

DROP VIEW ranking;
ALTER TABLE rankings RENAME TO rankings_in_hex;

CREATE TABLE rankings (
  class    INTEGER NOT NULL,
  rank     INTEGER NOT NULL,        -- from 1
  score    REAL NOT NULL,           -- natural log-probability
  image    BLOB NOT NULL,
  selected INTEGER NOT NULL,        -- 0 only for a vetoed image
  PRIMARY KEY (class, rank)
) STRICT, WITHOUT ROWID;

INSERT INTO rankings SELECT class, rank, score, unhex(image), selected FROM rankings_in_hex;
DROP TABLE rankings_in_hex;

CREATE INDEX rankings_vetoed ON rankings (class) WHERE selected = 0;
-- Made anew each time when all rows are there: see src/store/rankings.ts.
CREATE INDEX rankings_by_image ON rankings (image);

CREATE VIEW ranking AS
  SELECT c.name AS class, r.rank, r.score, lower(hex(r.image)) AS image,
         (SELECT s.root || '/' || p.file || coalesce('#' || p.member, '')
            FROM images i JOIN places p ON p.image = i.key JOIN sources s ON s.key = p.source
           WHERE i.id = lower(hex(r.image)) ORDER BY p.rowid LIMIT 1) AS place,
         r.selected
    FROM rankings r JOIN classes c ON c.position = r.class;
