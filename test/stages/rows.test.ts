import {copyFileSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import {afterAll, beforeAll, describe, expect, it, onTestFinished} from 'vitest';
import {UserError} from '../../src/errors.js';
import {damagedRows} from '../../src/pipeline/damage.js';
import {packIds} from '../../src/ranking/image-ids.js';
import {stages} from '../../src/stages/index.js';
import {besideDatabase, openStore, openStoreToRead, type Store} from '../../src/store/open.js';
import {lastingFolder} from '../commands/pupil.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {addSource, entry, imageId, labelled} from '../store/new-store.js';

/** A run whose finished stages vouch for rows in every table that they write. */
function aRun(folder: string): string {
  const file = path.join(folder, 'run.sqlite');
  const store = openStore(file);
  const classes = ['apple', 'pear'];
  store.run.take('fruit', {pid: 1, host: 'here', since: 'now'});
  addSource(store, 'labelled', labelled(classes, 6));
  const spec = {kind: 'folder', path: '/pool', split: null} as const;
  const source = store.images.addSource('unlabelled', spec, '/pool', 'pool-1');
  store.atomically(() => {
    store.images.setClasses(classes);
    store.images.split({seed: 0, labelledPerClass: null, validation: {share: 0.2, atLeast: 1}, restIsPool: false});
    store.shards.settle({
      images: new Map([16, 16, 16, 12].entries()),
      left: new Map([[1, packIds([imageId('left')])]]),
      renewed: new Set(),
    });
    for (const {number, images} of store.shards.all())
      store.shards.setScored(number, 'f'.repeat(64), 'a'.repeat(64), images);
    const numbers = Array.from({length: 60}, (_, number) => number);
    store.rankings.replace(2, () => ({
      candidates: 61,
      ranked: {scores: Float32Array.from(numbers, number => -(number + 1) / 7), ids: packIds(numbers.map(imageId))},
    }));
    const table = {folder: 'ids-1', bits: 0, rows: 60, digest: 'd'.repeat(64)};
    store.pool.settle(
      {images: 60, digest: 'd'.repeat(64), table, listings: [{source, folder: 'pool-1', chunks: [60]}]},
      {added: 60, stayed: 0, left: 0},
    );
    store.pool.assign({...table, folder: 'shards-1'}, 0);
    for (const number of numbers) store.chosen.add({...entry(number, `${number}.png`), source});
    for (const stage of ['prepare', 'export', 'score', 'select'])
      store.quarantine.add(stage, '0', {
        image: imageId(3),
        place: '/unlabelled/3.png',
        code: 'LEAK',
        detail: 'seen before',
      });
  });
  for (const {name, rows = {}} of stages) {
    const outputs = Object.entries(rows).map(([product, digest]) => ({
      name: product,
      path: null,
      sha256: digest(store),
    }));
    store.stages.finish({
      name,
      status: 'done',
      ingredients: {seed: '0'},
      seconds: 1.5,
      summary: {headline: `${name} is done`},
      outputs,
    });
  }
  store.close();
  return file;
}

/** What is found damaged, stage by stage. */
const damageIn = (store: Store): string[] =>
  stages.flatMap(stage => {
    const recorded = store.stages.read(stage.name);
    return recorded === null
      ? [`${stage.name} never ran`]
      : damagedRows(stage, recorded, store).map(({path: what, kind}) => `${what} is ${kind}`);
  });

let file: string;
const lasting = lastingFolder();
beforeAll(() => {
  file = aRun(lasting.folder);
});
afterAll(lasting.remove);

describe('rows that are altered or lost are found', () => {
  /** Alters one row in a copy, behind the store's back, and asks what is damaged. */
  async function damageAfter(alteration: string): Promise<string[]> {
    const copy = path.join(await temporaryFolder(), 'run.sqlite');
    copyFileSync(file, copy);
    const connection = new Database(copy);
    expect(connection.prepare(alteration).run().changes).toBe(1);
    connection.close();
    const store = openStoreToRead(copy)!;
    onTestFinished(() => store.close());
    return damageIn(store);
  }

  const one = (table: string) => `rowid = (SELECT max(rowid) FROM ${table})`;
  it.each([
    ["UPDATE classes SET name = 'plum' WHERE position = 1", 'prepare.classes'],
    [`UPDATE images SET split = 'test' WHERE ${one('images')}`, 'prepare.listing'],
    ['UPDATE images SET label = 1 WHERE key = (SELECT min(key) FROM images WHERE label = 0)', 'prepare.listing'],
    [`UPDATE places SET file = '1.png' WHERE ${one('places')}`, 'prepare.listing'],
    [`DELETE FROM places WHERE ${one('places')}`, 'prepare.listing'],
    ["UPDATE sources SET root = '/elsewhere' WHERE key = 2", 'prepare.listing'],
    ["DELETE FROM quarantine WHERE stage = 'prepare'", 'prepare.quarantine'],
    ['UPDATE shards SET rows = rows - 1 WHERE number = 1', 'score.shards'],
    ["UPDATE quarantine SET code = 'TRUNCATED' WHERE stage = 'score'", 'score.quarantine'],
    ['UPDATE rankings SET score = score - 1e-9 WHERE class = 0 AND rank = 7', 'select.ranking'],
    ['UPDATE rankings SET selected = 0 WHERE class = 1 AND rank = 7', 'select.ranking'],
    ['UPDATE rankings SET image = zeroblob(12) WHERE class = 1 AND rank = 60', 'select.ranking'],
    ['DELETE FROM rankings WHERE class = 1 AND rank = 60', 'select.ranking'],
    ['UPDATE class_rankings SET candidates = 60 WHERE class = 0', 'select.ranking'],
    [`UPDATE chosen SET file = '1.png' WHERE id = (SELECT max(id) FROM chosen)`, 'select.chosen'],
    ['UPDATE pool SET listed = 1', 'prepare.listing'],
    ['DELETE FROM assigned', 'score.shards'],
  ])('%s', async (alteration, product) => {
    expect(await damageAfter(alteration)).toEqual([`what the database holds of ${product} is changed`]);
  });

  it.each([
    `UPDATE stages SET summary = '{"headline":"better"}' WHERE name = 'evaluate'`,
    `UPDATE stages SET ingredients = '{"seed":"1"}' WHERE name = 'evaluate'`,
    "UPDATE stages SET seconds = 1 WHERE name = 'evaluate'",
  ])('%s', async alteration => {
    expect(await damageAfter(alteration)).toEqual(['the record of evaluate in the database is changed']);
  });

  it('the digest of rows among them', async () => {
    expect(await damageAfter("UPDATE outputs SET sha256 = 'b' WHERE stage = 'select' AND name = 'ranking'")).toEqual([
      'the record of select in the database is changed',
      'what the database holds of select.ranking is changed',
    ]);
  });

  it('and nothing is where nothing was altered', () => {
    const store = openStoreToRead(file)!;
    onTestFinished(() => store.close());
    expect(damageIn(store)).toEqual([]);
  });
});

describe('bytes of the file that are garbled', () => {
  const SEED = 20_261_129;
  it(`are refused (exit 4) or found in a stage, or change nothing that a stage vouches for (seed ${SEED})`, async () => {
    let state = SEED;
    const next = (below: number) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
    const vouchedFor = (database: string) => {
      const connection = new Database(database, {readonly: true});
      try {
        return [
          'sources',
          'classes',
          'images',
          'places',
          'quarantine',
          'shards',
          'class_rankings',
          'rankings',
          'chosen',
          'stages',
        ].map(table => connection.prepare(`SELECT * FROM ${table} NOT INDEXED`).all());
      } finally {
        connection.close();
      }
    };
    const whole = vouchedFor(file);
    const bytes = readFileSync(file);
    const outcomes = {refused: 0, found: 0, harmless: 0};
    const garbled = path.join(await temporaryFolder(), 'run.sqlite');
    for (let attempt = 0; attempt < 120; attempt++) {
      const copy = Buffer.from(bytes);
      const at = next(copy.length);
      copy.fill(next(256), at, at + 1 + next(16));
      writeFileSync(garbled, copy);
      for (const left of besideDatabase(garbled)) rmSync(left, {force: true});
      try {
        const store = openStore(garbled);
        try {
          if (damageIn(store).length > 0) {
            outcomes.found++;
            continue;
          }
        } finally {
          store.close();
        }
        expect(vouchedFor(garbled), `attempt ${attempt}: ${at}`).toEqual(whole);
        outcomes.harmless++;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        expect(error.exitCode, `attempt ${attempt}: ${error.message}`).toBe(4);
        outcomes.refused++;
      }
    }
    expect(outcomes.refused).toBeGreaterThan(0);
    expect(outcomes.found).toBeGreaterThan(0);
  });
});
