// What a finished run comes to, less its times: everything in it that an interruption must not change.
import {createHash} from 'node:crypto';
import {existsSync, readdirSync, readFileSync, statSync} from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import {dist, RUN} from './orchestration.mjs';

const {readingsOf} = await import(dist('stages/curves.js'));
const {openStoreToRead} = await import(dist('store/open.js'));

/** Rows in an order of their own, never in that of a clock. */
const queries = {
  rankings: 'SELECT class, rank, score, image, place, selected FROM ranking ORDER BY class, rank',
  candidates: 'SELECT class, candidates FROM class_rankings ORDER BY class',
  classes: 'SELECT position, name FROM classes ORDER BY position',
  images: 'SELECT key, id, label, split, pool FROM images ORDER BY key',
  places: 'SELECT image, source, file, member, "offset", length, encoding, label FROM places ORDER BY rowid',
  shards: 'SELECT number, images, fingerprint, sha256, rows, hex(left_ids) FROM shards ORDER BY number',
  chosen: 'SELECT id, source, file, member, "offset", length, encoding FROM chosen ORDER BY id',
  pool: 'SELECT listed FROM pool',
  assigned: 'SELECT facts FROM assigned',
  quarantine: 'SELECT stage, part, image, place, code, detail FROM quarantine ORDER BY stage, part, place',
  stages: 'SELECT name, status, ingredients FROM stages ORDER BY name',
  outputs: "SELECT stage, name, path, sha256 FROM outputs WHERE name <> 'report' ORDER BY stage, name, path",
};
const trainings = [
  ['teacher', ''],
  ['pretrain', ''],
  ['finetune', ''],
  ['baseline', ''],
];

/** Of each thing that must be the same, its contents or their hash. */
export function portraitOf(home) {
  const portrait = {};
  const connection = new Database(path.join(home, 'db', `${RUN}.sqlite`), {readonly: true});
  try {
    for (const [name, query] of Object.entries(queries))
      portrait[name] = unnumbered(JSON.stringify(connection.prepare(query).all()));
  } finally {
    connection.close();
  }
  const store = openStoreToRead(path.join(home, 'db', `${RUN}.sqlite`));
  try {
    for (const [stage, part] of trainings)
      portrait[`curve of ${stage} ${part}`] = JSON.stringify(readingsOf(store, stage, part).evaluations);
  } finally {
    store.close();
  }
  for (const file of filesOf(home)) {
    if (file.endsWith('report.html')) portrait[file] = reportLessTimes(readFileSync(path.join(home, file), 'utf8'));
    else if (!isAllowedToDiffer(file))
      portrait[unnumbered(file)] = createHash('sha256')
        .update(readFileSync(path.join(home, file)))
        .digest('hex');
  }
  return portrait;
}

/** How often a listing or a table was begun is told by the name of its folder, and by nothing else. */
const unnumbered = text => text.replace(/\b((?:ids|shards|[a-z]+-[0-9a-f]{12})-)\d+\b/g, '$1N');

/**
 * Every file of a home but its databases, what is told of attempts, and what a killed process was writing where nobody
 * wrote since.
 */
const filesOf = home =>
  ['models', 'data']
    .filter(folder => existsSync(path.join(home, folder)))
    .flatMap(folder => readdirSync(path.join(home, folder), {recursive: true}).map(name => path.join(folder, name)))
    .filter(name => !name.includes('/attempts/') && !name.startsWith(KEPT) && statSync(path.join(home, name)).isFile());

/** What it keeps for other runs tells when it was made, and may be of more than one making. */
const KEPT = path.join('data', '.results');

/** Checkpoints hold the seconds that a training took. */
const isAllowedToDiffer = file => path.basename(file) === 'checkpoint.pt';

/** Its curves are compared by what validation said; readings of a training are taken once a second. */
const reportLessTimes = html =>
  html.replace(/<section id="(curves|time)">[^]*?<\/section>/g, '').replace(/<time [^]*?<\/time>/, '');

/** Where two portraits differ, in words. */
export function differences(found, expected) {
  return [...new Set([...Object.keys(expected), ...Object.keys(found)])]
    .filter(name => found[name] !== expected[name])
    .map(name => {
      if (!(name in found)) return `${name} is missing`;
      if (!(name in expected)) return `${name} is left over`;
      const at = [...expected[name]].findIndex((character, index) => character !== found[name][index]);
      return `${name} differs: ${found[name].slice(Math.max(0, at - 40), at + 60)} instead of ${expected[name].slice(Math.max(0, at - 40), at + 60)}`;
    });
}
