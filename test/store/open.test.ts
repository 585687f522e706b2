import {existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import {describe, expect, it, vi} from 'vitest';
import {UserError} from '../../src/errors.js';
import {openStore, openStoreToRead} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {entry, query} from './new-store.js';

const aFile = async () => path.join(await temporaryFolder(), 'run.sqlite');

function refusal(open: () => unknown): UserError {
  try {
    open();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error('It was opened.');
}

function sql(file: string, statement: string): void {
  const connection = new Database(file);
  connection.exec(statement);
  connection.close();
}

describe('opening the state of a run', () => {
  it('creates it, with the folders above it, in the newest version', async () => {
    const file = path.join(await temporaryFolder(), 'a', 'b', 'run.sqlite');
    openStore(file).close();
    const connection = new Database(file, {readonly: true});
    expect(connection.pragma('user_version', {simple: true})).toBe(
      readdirSync(new URL('../../db/migrations/', import.meta.url)).filter(name => name.endsWith('.sql')).length,
    );
    expect(connection.pragma('journal_mode', {simple: true})).toBe('wal');
    connection.close();
  });

  it('finds what an earlier opening left', async () => {
    const file = await aFile();
    const store = openStore(file);
    store.run.take('birds', {pid: 1, host: 'here', since: 'now'});
    store.run.setConfig('{"seed":1}');
    store.close();
    const again = openStoreToRead(file);
    expect(again?.run.config()).toEqual({seed: 1});
    expect(again?.run.holder()).toEqual({pid: 1, host: 'here', since: 'now'});
    again?.close();
  });

  it('of the first version brings its rankings along', async () => {
    const file = await aFile();
    sql(file, readFileSync(new URL('../../db/migrations/0001_initial.sql', import.meta.url), 'utf8'));
    sql(
      file,
      `PRAGMA user_version = 1;
       INSERT INTO classes VALUES (0, 'robin');
       INSERT INTO class_rankings VALUES (0, 9);
       INSERT INTO rankings VALUES (0, 1, -0.5, '00000000000000000000abcd', 1), (0, 2, -1.5, 'ff0000000000000000000001', 0);
       CREATE INDEX rankings_by_image ON rankings (image);`,
    );
    const store = openStore(file);
    expect(store.rankings.rows('robin', 9, 0)).toMatchObject([
      {rank: 1, score: -0.5, image: '00000000000000000000abcd', selected: 1},
      {rank: 2, score: -1.5, image: 'ff0000000000000000000001', selected: 0},
    ]);
    expect(store.rankings.ofImage('ff0000000000000000000001')).toEqual([{class: 'robin', rank: 2, selected: 0}]);
    expect(store.rankings.summaries()).toEqual([{class: 'robin', candidates: 9, selected: 1, cutoff: -1.5}]);
    store.close();
  });

  it('survives a power loss after each commit: synchronous is FULL on every opening', async () => {
    const file = await aFile();
    const pragma = vi.spyOn(Database.prototype, 'pragma');
    const [first, second] = [openStore(file), openStore(file)];
    const third = openStoreToRead(file);
    const connections = [...new Set(pragma.mock.contexts as Database.Database[])].filter(
      // What is known of files costs hashing them again, where it is lost.
      connection => connection.open && !connection.name.endsWith('file-hashes'),
    );
    pragma.mockRestore();
    expect(connections.map(connection => connection.pragma('synchronous', {simple: true}))).toEqual([2, 2, 2]);
    for (const store of [first, second, third]) store?.close();
  });

  it('whose log was garbled from some place on finds it whole, with the first of its commits', async () => {
    const file = await aFile();
    openStore(file).close();
    const store = openStore(file);
    const names = Array.from({length: 30}, (_, number) => entry(number, `${number}.png`));
    const source = store.images.addSource('test', {kind: 'folder', path: '/test', split: null}, '/test', 'test');
    for (const listed of names) store.atomically(() => store.images.addListed(source, listed));
    const [pages, log] = [readFileSync(file), readFileSync(`${file}-wal`)];
    store.close();
    let state = 20_261_129;
    const next = (below: number) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
    const lengths = new Set<number>();
    for (let attempt = 0; attempt < 40; attempt++) {
      const copy = await aFile();
      writeFileSync(copy, pages);
      writeFileSync(`${copy}-wal`, Buffer.from(log).fill(1 + next(255), 32 + next(log.length - 32)));
      openStore(copy).close();
      expect(query(copy, 'PRAGMA integrity_check')).toEqual([{integrity_check: 'ok'}]);
      const left = query(copy, 'SELECT file FROM places ORDER BY rowid').map(row => row['file']);
      expect(left).toEqual(names.slice(0, left.length).map(listed => listed.file));
      lengths.add(left.length);
    }
    expect(lengths.size).toBeGreaterThan(5);
  });

  it('to read one that is not there gives null and creates nothing', async () => {
    const file = await aFile();
    expect(openStoreToRead(file)).toBe(null);
    expect(existsSync(file)).toBe(false);
  });

  it('to read one that is open for writing sees each commit', async () => {
    const file = await aFile();
    const writer = openStore(file);
    const reader = openStoreToRead(file);
    writer.stages.begin('score', {});
    expect(reader?.stages.read('score')?.status).toBe('running');
    writer.close();
    reader?.close();
  });
});

describe('a database that this pupil cannot use', () => {
  it.each([
    ['in its own journal mode', 'PRAGMA journal_mode = DELETE; PRAGMA user_version = 99'],
    ['left open by a crash', 'PRAGMA user_version = 99'],
  ])(
    'of a newer version, %s, is refused with both versions (exit 4), and not a byte of it changes',
    async (_, statement) => {
      const file = await aFile();
      openStore(file).close();
      sql(file, statement);
      const before = readFileSync(file);
      for (const open of [openStore, openStoreToRead]) {
        const error = refusal(() => open(file));
        expect(error.exitCode).toBe(4);
        expect(error.message).toMatch(
          /^\/.*run\.sqlite was made by a newer pupil \(database version 99; this pupil knows up to \d+\)\. Update pupil; nothing was changed\.$/,
        );
      }
      expect(readFileSync(file).equals(before)).toBe(true);
    },
  );

  it('of an older version is brought up to date by orchestrate only', async () => {
    const file = await aFile();
    sql(
      file,
      `${readFileSync(new URL('../../db/migrations/0001_initial.sql', import.meta.url), 'utf8')}; PRAGMA user_version = 1`,
    );
    const error = refusal(() => openStoreToRead(file));
    expect(error).toMatchObject({
      exitCode: 4,
      message: expect.stringContaining('Run pupil orchestrate once') as string,
    });
    openStore(file).close();
    openStoreToRead(file)?.close();
  });

  it('that is garbage is refused (exit 4) and left as it is', async () => {
    const file = await aFile();
    const garbage = Buffer.alloc(8192, 'not a database ');
    writeFileSync(file, garbage);
    for (const open of [openStore, openStoreToRead]) {
      const error = refusal(() => open(file));
      expect(error.exitCode).toBe(4);
      expect(error.message).toContain(`${file} is damaged and was left as it is`);
    }
    expect(readFileSync(file).equals(garbage)).toBe(true);
  });

  it('whose first page was overwritten is refused (exit 4) and left as it is', async () => {
    const file = await aFile();
    openStore(file).close();
    const damaged = readFileSync(file);
    damaged.fill(0xee, 100, 3000);
    writeFileSync(file, damaged);
    const error = refusal(() => openStore(file));
    expect(error).toMatchObject({
      exitCode: 4,
      message: expect.stringContaining('is damaged and was left as it is') as string,
    });
    expect(readFileSync(file).equals(damaged)).toBe(true);
  });

  it.each<[string, (file: string) => void, RegExp]>([
    [
      'that was emptied, its log still beside it',
      file => ['', '-wal'].forEach((suffix, size) => writeFileSync(file + suffix, Buffer.alloc(size * 100))),
      /run\.sqlite is empty, and was left as it is\. Restore it/,
    ],
    [
      'without tables',
      file => sql(file, 'PRAGMA user_version = 0; VACUUM'),
      /is not the database of a run: it was emptied, or another program made it\./,
    ],
    [
      'of another application',
      file => sql(file, 'CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = 2'),
      /is not the database of a run: it was emptied, or another program made it\./,
    ],
  ])('%s is refused (exit 4), never taken for new, and left as it is', async (_, make, message) => {
    const file = await aFile();
    make(file);
    const before = [file, `${file}-wal`].map(name => existsSync(name) && readFileSync(name).toString('hex'));
    for (const open of [openStore, openStoreToRead])
      expect(refusal(() => open(file))).toMatchObject({exitCode: 4, message: expect.stringMatching(message) as string});
    expect([file, `${file}-wal`].map(name => existsSync(name) && readFileSync(name).toString('hex'))).toEqual(before);
  });

  it('with a view that was altered is refused (exit 4), with one that somebody added it is not', async () => {
    const file = await aFile();
    openStore(file).close();
    sql(file, 'CREATE VIEW mine AS SELECT 1');
    openStoreToRead(file)?.close();
    sql(file, 'DROP VIEW event; CREATE VIEW event AS SELECT 1');
    for (const open of [openStore, openStoreToRead])
      expect(refusal(() => open(file))).toMatchObject({
        exitCode: 4,
        message: expect.stringContaining('(its view event is not as it was made)') as string,
      });
  });

  it('whose making was cut short was never there', async () => {
    const file = await aFile();
    writeFileSync(`${file}.new`, 'half');
    expect(openStoreToRead(file)).toBe(null);
    openStore(file).close();
    expect(readdirSync(path.dirname(file)).sort()).toEqual(['file-hashes', 'run.sqlite']);
  });

  it.each([
    ["UPDATE stages SET summary = '{' WHERE name = 'score'", 'the summary of score should be JSON, and begins "{"'],
    ["UPDATE run SET config = 'oops'", 'the configuration of the run should be JSON, and begins "oops"'],
    ["UPDATE events SET body = ''", 'an event of score should be JSON, and begins ""'],
  ])('with a cell that is no JSON any more says which (exit 4): %s', async (alteration, message) => {
    const file = await aFile();
    const store = openStore(file);
    store.run.take('birds', {pid: 1, host: 'here', since: 'now'});
    store.stages.begin('score', {});
    store.events.add({type: 'device', stage: 'score', part: '', device: 'cpu', runtime: 'none'});
    sql(file, alteration);
    const error = refusal(() => [store.run.config(), store.stages.read('score'), store.events.of('score', 'device')]);
    store.close();
    expect(error).toMatchObject({
      exitCode: 4,
      message: expect.stringContaining(`${file} is damaged and was left as it is (${message})`) as string,
    });
  });

  it('with a page that was overwritten is refused before anything is written (exit 4)', async () => {
    const file = await aFile();
    const store = openStore(file);
    for (let step = 0; step < 400; step++) store.events.add({type: 'note', stage: null, message: 'x'.repeat(100)});
    store.close();
    const damaged = readFileSync(file);
    damaged.fill(0xee, damaged.length - 3 * 4096, damaged.length - 2 * 4096);
    writeFileSync(file, damaged);
    expect(refusal(() => openStore(file))).toMatchObject({
      exitCode: 4,
      message: expect.stringContaining('is damaged and was left as it is') as string,
    });
    expect(readFileSync(file).equals(damaged)).toBe(true);
  });

  it('where a folder lies is refused (exit 4)', async () => {
    const file = await aFile();
    mkdirSync(file);
    expect(refusal(() => openStore(file))).toMatchObject({
      exitCode: 4,
      message: expect.stringContaining(`Cannot read or write ${file}`) as string,
    });
  });
});
