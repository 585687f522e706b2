// Damages to the files and rows of a finished run: each must be found, and mended by the same command or refused with
// exit 4.
import {
  appendFileSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import {RUN} from './orchestration.mjs';

const databaseOf = home => path.join(home, 'db', `${RUN}.sqlite`);

/** The files that stages vouch for. What else lies there is of use only to the stage at work, which makes it anew. */
function vouchedFor(home) {
  const connection = new Database(databaseOf(home), {readonly: true});
  try {
    return connection.prepare('SELECT path FROM outputs WHERE path IS NOT NULL ORDER BY path').pluck().all();
  } finally {
    connection.close();
  }
}

/** As whoever copies files about does: the time of the last change stays. */
function keepingTime(file, change) {
  const {atime, mtime} = lstatSync(file);
  change();
  utimesSync(file, atime, mtime);
}

const ofFiles = {
  removed: file => rmSync(file),
  emptied: file => truncateSync(file, 0),
  'cut in half': file => truncateSync(file, Math.floor(lstatSync(file).size / 2)),
  'one byte changed, size and time kept': file =>
    keepingTime(file, () => {
      const bytes = readFileSync(file);
      bytes[Math.floor(bytes.length / 2)] ^= 0xff;
      writeFileSync(file, bytes);
    }),
  'grown by garbage': file => appendFileSync(file, 'garbage'),
  'all garbage': file => writeFileSync(file, 'garbage '.repeat(100)),
};

const ofRows = {
  'a stage forgotten': 'DELETE FROM stages WHERE name = (SELECT name FROM stages ORDER BY random() LIMIT 1)',
  'a shard forgotten': 'UPDATE shards SET fingerprint = NULL, sha256 = NULL, rows = NULL WHERE number = 1',
  'what is known of an output changed':
    "UPDATE outputs SET sha256 = 'no hash' WHERE rowid = (SELECT rowid FROM outputs WHERE path IS NOT NULL ORDER BY random() LIMIT 1)",
  'the scores of a ranking changed': 'UPDATE rankings SET score = score - 1 WHERE class = 0',
  'a ranking lost': 'DELETE FROM rankings WHERE class = 1',
  'a chosen picture elsewhere': "UPDATE chosen SET file = 'elsewhere' WHERE id = (SELECT min(id) FROM chosen)",
  'the pool forgotten': 'DELETE FROM pool',
};

const ofDatabases = {
  'database emptied': file => truncateSync(file, 0),
  'database cut in half': file => truncateSync(file, Math.floor(lstatSync(file).size / 8192) * 4096),
  'database all garbage': file => writeFileSync(file, 'garbage '.repeat(1000)),
};

const ofHashes = {
  'what is known of files changed': file => {
    const connection = new Database(file);
    connection.exec("UPDATE hashes SET sha256 = 'no hash'");
    connection.close();
  },
  'what is known of files garbage': file => writeFileSync(file, 'garbage '.repeat(1000)),
  'what is known of files lost': file => rmSync(file),
};

const ofKept = {
  'what is kept lost': folder => rmSync(folder, {recursive: true}),
  'a kept result garbled': folder => {
    const files = readdirSync(folder, {recursive: true, withFileTypes: true}).filter(entry => entry.isFile());
    const {parentPath, name} = files[Math.floor(files.length / 2)];
    writeFileSync(path.join(parentPath, name), 'garbage');
  },
};

/** Every damage there is: a name, and what does it to a home, of which it returns the words. */
export const damages = [
  ...Object.entries(ofFiles).map(([name, damage]) => ({
    name,
    do(home, random) {
      const file = random.pick(vouchedFor(home));
      damage(path.join(home, file));
      return `${file}: ${name}`;
    },
  })),
  ...Object.entries(ofRows).map(([name, sql]) => ({
    name,
    do(home) {
      const connection = new Database(databaseOf(home));
      connection.pragma('foreign_keys = ON');
      connection.exec(sql);
      connection.close();
      return name;
    },
  })),
  ...Object.entries({...ofHashes, ...ofKept}).map(([name, damage]) => ({
    name,
    do(home) {
      damage(path.join(home, name in ofKept ? 'data/.results' : 'db/file-hashes'));
      return name;
    },
  })),
  ...Object.entries(ofDatabases).map(([name, damage]) => ({
    name,
    do(home) {
      damage(databaseOf(home));
      for (const log of ['-wal', '-shm']) if (existsSync(databaseOf(home) + log)) rmSync(databaseOf(home) + log);
      return name;
    },
  })),
];

/**
 * Makes a stage of a finished run stale by losing what it made, its checkpoint as well; the others stay. What is kept of it
 * is lost, too, unless it is to be taken.
 */
export function forget(home, stage, {isKept = false} = {}) {
  if (!isKept)
    for (const kept of [stage, 'training'])
      rmSync(path.join(home, 'data', '.results', kept), {recursive: true, force: true});
  const connection = new Database(databaseOf(home));
  try {
    connection.pragma('foreign_keys = ON');
    for (const file of connection
      .prepare('SELECT path FROM outputs WHERE stage = ? AND path IS NOT NULL')
      .pluck()
      .all(stage)) {
      rmSync(path.join(home, file), {force: true});
      if (stage !== 'export') rmSync(path.join(home, path.dirname(file), 'checkpoint.pt'), {force: true});
    }
    connection.prepare('DELETE FROM stages WHERE name = ?').run(stage);
  } finally {
    connection.close();
  }
}
