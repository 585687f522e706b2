import {existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import {describe, expect, it} from 'vitest';
import {resultsFolder} from '../../src/home.js';
import {stampOf} from '../../src/pipeline/file-hash.js';
import {allResults, damageOfResult} from '../../src/pipeline/results.js';
import {inspect, runStages} from '../../src/pipeline/run.js';
import type {Stage} from '../../src/pipeline/stage.js';
import {query} from '../store/new-store.js';
import {kitchen, stage, stages, type Kitchen} from './kitchen.js';

const inode = (file: string) => statSync(file).ino;
const taken = (run: string, ...names: string[]) => names.map(name => `${name} taken from ${run}`);

describe('what one run has made', () => {
  it('another takes in the place of making it, and its files take no room twice', async () => {
    const first = await kitchen();
    await first.run();
    const {run, context, home} = await kitchen(first.home, 'toast');
    expect((await run()).did).toEqual(taken('bread', 'prepare', 'teacher', 'export'));
    expect(inode(path.join(home, 'data/toast/crust'))).toBe(inode(path.join(home, 'data/bread/crust')));
    const [ours, theirs] = [context, first.context].map(({store}) => store.stages.read('teacher')!);
    expect(ours).toEqual({
      ...theirs,
      startedAt: ours?.startedAt,
      outputs: theirs!.outputs.map(({path: file, ...output}) => ({
        ...output,
        path: file && file.replace('bread', 'toast'),
      })),
    });
    expect((await run()).did[0]).toBe('prepare fresh: nothing changed');
  });

  it('is taken as far as both depend on the same', async () => {
    const first = await kitchen();
    await first.run();
    const {run, recipe} = await kitchen(first.home, 'toast');
    recipe.oven = '250';
    expect((await run()).did).toEqual([...taken('bread', 'prepare'), 'teacher ran: starting', 'export ran: starting']);
  });

  it('is its own again where it was before, whatever it came to meanwhile', async () => {
    const {run, recipe, home} = await kitchen();
    await run();
    recipe.oven = '250';
    await run();
    recipe.oven = '200';
    expect((await run()).did.slice(1)).toEqual(['teacher taken from bread', 'export taken from bread']);
    expect(readFileSync(path.join(home, 'data/bread/crust'), 'utf8')).toContain('at 200');
  });

  it('mends what is lost of it', async () => {
    const {run, home} = await kitchen();
    await run();
    rmSync(path.join(home, 'data/bread/crumb'));
    expect((await run()).did[1]).toBe('teacher taken from bread');
    expect(existsSync(path.join(home, 'data/bread/crumb'))).toBe(true);
  });

  it('is made anew where that is asked for', async () => {
    const {run} = await kitchen();
    await run();
    expect((await run({only: 'teacher'})).did).toEqual(['teacher ran: asked for with --only']);
  });

  it('is told by whoever looks ahead, down to the stages that rest on it', async () => {
    const first = await kitchen();
    await first.run();
    const {context} = await kitchen(first.home, 'toast');
    const plan = await inspect(stages, context);
    expect(plan.map(({kept, verdict}) => [kept?.run, verdict.reason])).toEqual(
      stages.map(() => ['bread', 'never ran']),
    );
    expect((await inspect(stages, context, {until: 'prepare'})).map(({kept}) => kept?.run)).toEqual([
      'bread',
      undefined,
      undefined,
    ]);
  });

  it('is read once for all of them: a link gives a file other times, by which it is known at once', async () => {
    const first = await kitchen();
    await first.run();
    const {run} = await kitchen(first.home, 'toast');
    const crust = path.join(first.home, 'data/bread/crust');
    const before = await stampOf(crust);
    await run();
    const after = await stampOf(crust);
    expect(after).not.toEqual(before);
    expect(first.context.store.hashes.get(after!)).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('a result that is kept', () => {
  const kept = async (home: string, name: string) => (await allResults(home, name))[0]!.folder;

  it('and was garbled since is told, dropped, and made anew', async () => {
    for (const file of ['files/data/crust', 'rows.sqlite']) {
      const {run, home, events, recipe} = await kitchen();
      await run();
      const folder = await kept(home, 'teacher');
      const garbled = path.join(folder, file);
      const {atime, mtime} = statSync(garbled);
      const bytes = readFileSync(garbled);
      bytes[3]! ^= 1;
      writeFileSync(garbled, bytes);
      utimesSync(garbled, atime, mtime);
      recipe.oven = '250';
      await run();
      recipe.oven = '200';
      expect((await run()).did[1]).toBe('teacher ran: oven changed from 250 to 200');
      expect(events).toContainEqual({
        type: 'note',
        stage: null,
        message: `what was kept of teacher is not what was written, and is no more: ${garbled}`,
      });
      expect((await allResults(home, 'teacher')).map(({ingredients}) => ingredients['oven']).sort()).toEqual([
        '200',
        '250',
      ]);
    }
  });

  it('and is damaged where another run is as well does not stand in the way of making it anew', async () => {
    const {run, home, recipe} = await kitchen();
    await run();
    const crust = path.join(home, 'data/bread/crust');
    // In place: what is kept is the same file.
    writeFileSync(crust, 'mould');
    expect((await run()).did[1]).toBe('teacher ran: data/bread/crust is not what was written');
    recipe.oven = '250';
    await run();
    recipe.oven = '200';
    expect((await run()).did[1]).toBe('teacher taken from bread');
    expect(readFileSync(crust, 'utf8')).toContain('at 200');
  });

  it('by several runs at once is whole', async () => {
    const first = await kitchen();
    const others = await Promise.all(['one', 'two', 'three'].map(name => kitchen(first.home, name)));
    await Promise.all(others.map(({run}) => run()));
    for (const result of await allResults(first.home)) expect(await damageOfResult(result, first.context)).toBe(null);
    expect((await first.run()).did.map(line => line.split(' ')[1])).toEqual(['taken', 'taken', 'taken']);
  });

  it('whose record was altered is none', async () => {
    const {run, home} = await kitchen();
    await run();
    const record = path.join(await kept(home, 'teacher'), 'result.json');
    writeFileSync(record, readFileSync(record, 'utf8').replace('"seconds":', '"seconds":1'));
    expect(await allResults(home, 'teacher')).toEqual([]);
    const toast = await kitchen(home, 'toast');
    expect((await toast.run()).did[1]).toBe('teacher ran: starting');
  });

  it('whose making was cut short is none, and is made by the next run that has it', async () => {
    const {run, home} = await kitchen();
    await run();
    const folder = await kept(home, 'teacher');
    rmSync(path.join(folder, 'result.json'));
    await run();
    expect(readdirSync(folder).sort()).toEqual(['files', 'result.json', 'rows.sqlite']);
  });

  it('that cannot be kept leaves the stage done; it is kept by the next run that has it', async () => {
    const {run, home, context, events} = await kitchen();
    writeFileSync(resultsFolder(home), 'in the way');
    expect((await run()).did).toHaveLength(3);
    expect(events.filter(({type}) => type === 'warning')).toHaveLength(3);
    expect(events.find(({type}) => type === 'warning')).toMatchObject({
      message: expect.stringContaining('what prepare made cannot be kept for other runs: ') as string,
    });
    expect(context.store.stages.read('prepare')).toMatchObject({status: 'done'});
    rmSync(resultsFolder(home));
    expect((await run()).did[0]).toBe('prepare fresh: nothing changed');
    expect(await allResults(home, 'prepare')).toHaveLength(1);
  });

  it('of a home that was moved is found there', async () => {
    const {run, home} = await kitchen();
    await run();
    expect(resultsFolder(home)).toBe(path.join(home, 'data/.results'));
    for (const {folder} of await allResults(home))
      expect(readFileSync(path.join(folder, 'result.json'), 'utf8')).not.toContain(home);
  });
});

describe('rows', () => {
  /** Sets a plate aside for each guest. */
  const setting = (guests: number): Stage<Kitchen> => ({
    ...stage(
      'prepare',
      [],
      () => ({guests: String(guests)}),
      ({store}) => {
        store.atomically(() => {
          store.quarantine.forget('prepare');
          for (let guest = 0; guest < guests; guest++)
            store.quarantine.add('prepare', 'table', {
              image: null,
              place: `/plates/${guest}`,
              code: 'TAKEN',
              detail: 'a guest',
            });
        });
        store.events.add({type: 'device', stage: 'prepare', part: '', device: 'hands', runtime: 'none'});
        return Promise.resolve({outputs: [], summary: {}, headline: 'set'});
      },
    ),
    rows: {quarantine: ({quarantine}) => quarantine.digest('prepare')},
    ownRows: [{table: 'quarantine', where: "stage = 'prepare'"}],
  });

  it('that a stage made go along, in the place of its own and beside those of others', async () => {
    const first = await kitchen();
    await runStages([setting(3)], first.context, {});
    const {context} = await kitchen(first.home, 'toast');
    context.store.quarantine.add('select', 'wine', {image: null, place: '/cellar/1', code: 'CORKED', detail: 'old'});
    await runStages([setting(5)], context, {});
    const outcome = await runStages([setting(3)], context, {});
    expect(outcome.prepare).toEqual({status: 'fresh', seconds: 0});
    expect(context.store.quarantine.failures('prepare')).toBe(3);
    expect(context.store.quarantine.failures('select')).toBe(1);
    expect(context.store.events.of('prepare', 'device')).toHaveLength(2);
  });

  it('are written as they are, with every number that an order rests on', async () => {
    const {context, home} = await kitchen();
    await runStages([setting(3)], context, {});
    const [result] = await allResults(home, 'prepare');
    const rows = query(path.join(result!.folder, 'rows.sqlite'), 'SELECT place FROM quarantine ORDER BY rowid');
    expect(rows).toEqual([{place: '/plates/0'}, {place: '/plates/1'}, {place: '/plates/2'}]);
  });

  it('of which the database looked otherwise are not taken', async () => {
    const first = await kitchen();
    await runStages([setting(3)], first.context, {});
    const {context, database} = await kitchen(first.home, 'toast');
    const connection = new Database(database);
    connection.pragma('user_version');
    connection.close();
    const plan = await inspect([setting(3)], {
      ...context,
      store: {...context.store, version: context.store.version + 1},
    });
    expect(plan[0]!.kept).toBe(null);
  });
});
