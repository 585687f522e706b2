import {existsSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {describe, expect, it, onTestFinished} from 'vitest';
import {Interrupted, UserError} from '../../src/errors.js';
import type {Event} from '../../src/events.js';
import {resultsFolder} from '../../src/home.js';
import {stampOf} from '../../src/pipeline/file-hash.js';
import {inspect, runStages} from '../../src/pipeline/run.js';
import {openStoreToRead} from '../../src/store/open.js';
import {kitchen, stage, stages} from './kitchen.js';

const allFresh = ['prepare fresh: nothing changed', 'teacher fresh: nothing changed', 'export fresh: nothing changed'];

describe('the engine', () => {
  it('runs what never ran, in order, and nothing the second time', async () => {
    const {run, context} = await kitchen();
    expect((await run()).did).toEqual(['prepare ran: starting', 'teacher ran: starting', 'export ran: starting']);
    const again = await run();
    expect(again.did).toEqual(allFresh);
    expect(again.outcome).toEqual({
      prepare: {status: 'fresh', seconds: 0},
      teacher: {status: 'fresh', seconds: 0},
      export: {status: 'fresh', seconds: 0},
    });
    expect(context.store.stages.read('teacher')).toMatchObject({status: 'done', summary: {headline: 'baked'}});
  });

  it('runs a stage whose setting changed, with both values as the reason, and what follows from it', async () => {
    const {run, recipe} = await kitchen();
    await run();
    recipe.oven = '250';
    expect((await run()).did).toEqual([
      'prepare fresh: nothing changed',
      'teacher ran: oven changed from 200 to 250',
      'export ran: teacher.bread changed, and teacher.smell too',
    ]);
    expect((await run()).did).toEqual(allFresh);
  });

  it('stops going on where a stage that ran again made the same', async () => {
    const {run, recipe} = await kitchen();
    await run();
    recipe.flour = 'rice';
    expect((await run()).did).toEqual([
      'prepare ran: flour changed from rye to rice',
      'teacher fresh: nothing changed',
      'export fresh: nothing changed',
    ]);
  });

  it('follows a change of rows as it follows one of files', async () => {
    const {run, context} = await kitchen();
    await run();
    const bread = context.store.stages.read('teacher')!;
    context.store.stages.finish({
      ...bread,
      status: 'done',
      outputs: bread.outputs.map(output => (output.name === 'smell' ? {...output, sha256: 'burnt'} : output)),
    });
    expect((await run()).did.at(-1)).toBe('export ran: teacher.smell changed');
  });
});

describe('an output', () => {
  it('that is missing is made again where it is not kept, and only what differs follows', async () => {
    const {run, home} = await kitchen();
    await run();
    rmSync(resultsFolder(home), {recursive: true});
    rmSync(path.join(home, 'data/bread/crumb'));
    expect((await run()).did).toEqual([
      'prepare fresh: nothing changed',
      'teacher ran: data/bread/crumb is missing',
      'export fresh: nothing changed',
    ]);
    expect(existsSync(path.join(home, 'data/bread/crumb'))).toBe(true);
  });

  it('that was garbled is made again, also where its size and time are as they were', async () => {
    const {run, home} = await kitchen();
    await run();
    const crust = path.join(home, 'data/bread/crust');
    const {atime, mtime, size} = statSync(crust);
    writeFileSync(crust, readFileSync(crust, 'utf8').replace('crust', 'dirt.'));
    utimesSync(crust, atime, mtime);
    expect(statSync(crust)).toMatchObject({size, mtime});
    expect((await run()).did).toEqual([
      'prepare fresh: nothing changed',
      'teacher ran: data/bread/crust is not what was written',
      'export fresh: nothing changed',
    ]);
    expect(readFileSync(crust, 'utf8')).toMatch(/^crust/);
  });

  it('that was only touched is read once, and then known for what it was', async () => {
    const {run, home, context} = await kitchen();
    await run();
    const crust = path.join(home, 'data/bread/crust');
    utimesSync(crust, new Date(), new Date(0));
    const stamp = await stampOf(crust);
    expect(context.store.hashes.get(stamp!)).toBe(null);
    expect((await run()).did).toEqual(allFresh);
    expect(context.store.hashes.get(stamp!)).toMatch(/^[0-9a-f]{64}$/);
  });

  it('that a stage names but did not make is a bug, and the stage has failed', async () => {
    const {context} = await kitchen();
    const liar = stage(
      'prepare',
      [],
      () => ({}),
      async () => ({outputs: [{name: 'air', files: ['/nowhere/air']}], summary: {}, headline: ''}),
    );
    await expect(runStages([liar], context, {})).rejects.toThrow(
      'A stage reported the output /nowhere/air, which is not there.',
    );
    expect(context.store.stages.read('prepare')).toMatchObject({status: 'failed', outputs: []});
  });
});

describe('asked for a part', () => {
  it('--only runs that stage though it is fresh, and leaves what follows for the next run', async () => {
    const {run, recipe} = await kitchen();
    await run();
    expect((await run({only: 'teacher'})).did).toEqual(['teacher ran: asked for with --only']);
    recipe.oven = '250';
    expect((await run({only: 'teacher'})).did).toEqual(['teacher ran: oven changed from 200 to 250']);
    expect((await run()).did).toEqual([
      'prepare fresh: nothing changed',
      'teacher fresh: nothing changed',
      'export ran: teacher.bread changed, and teacher.smell too',
    ]);
  });

  it('--from runs that stage and all after it', async () => {
    const {run} = await kitchen();
    await run();
    expect((await run({from: 'teacher'})).did).toEqual([
      'teacher ran: asked for with --from',
      'export ran: asked for with --from',
    ]);
  });

  it('--until stops after that stage', async () => {
    const {run} = await kitchen();
    expect((await run({until: 'teacher'})).did).toEqual(['prepare ran: starting', 'teacher ran: starting']);
    expect((await run({from: 'teacher', until: 'teacher'})).did).toEqual(['teacher ran: asked for with --from']);
  });

  it('whose foundation was never made it refuses (exit 2), and says what to do', async () => {
    const {run, context} = await kitchen();
    const refused = {
      exitCode: 2,
      message:
        'export reads what teacher makes, and teacher has not run yet. Run pupil orchestrate without --from and --only first.',
    };
    await expect(run({only: 'export'})).rejects.toMatchObject(refused);
    // So does whoever only plans it; a stage that would be made on the way is foundation enough.
    await expect(inspect(stages, context, {from: 'export'})).rejects.toMatchObject(refused);
    expect(await inspect(stages, context)).toHaveLength(3);
  });
});

describe('a stage that does not come to its end', () => {
  it('has failed with its message, vouches for nothing, and is run again', async () => {
    const {run, recipe, context} = await kitchen();
    await run();
    recipe.flour = 'oat';
    recipe.beforeOutput = () => {
      throw new UserError('BAD_DATA', 'There is no oat.\nBuy some.');
    };
    await expect(run()).rejects.toMatchObject({exitCode: 3});
    expect(context.store.stages.read('prepare')).toMatchObject({
      status: 'failed',
      message: 'There is no oat.\nBuy some.',
      outputs: [],
      ingredients: null,
    });
    recipe.beforeOutput = () => {};
    expect((await run()).did).toEqual([
      'prepare ran: again, after it failed',
      'teacher ran: prepare.dough changed',
      'export ran: teacher.bread changed',
    ]);
  });

  it('because it was stopped is interrupted, and goes on', async () => {
    const {run, recipe, context, abort} = await kitchen();
    recipe.beforeOutput = () => {
      abort.abort(new Interrupted('SIGTERM'));
      abort.signal.throwIfAborted();
    };
    await expect(run({}, abort.signal)).rejects.toMatchObject({name: 'Interrupted', signal: 'SIGTERM'});
    expect(context.store.stages.read('prepare')?.status).toBe('interrupted');
    recipe.beforeOutput = () => {};
    expect((await run()).did[0]).toBe('prepare ran: was interrupted: goes on where it stopped');
  });

  it('with another error while a stop was asked for is an interruption all the same', async () => {
    const {run, recipe, context, abort} = await kitchen();
    recipe.beforeOutput = () => {
      abort.abort(new Interrupted());
      throw new Error('AbortError');
    };
    await expect(run({}, abort.signal)).rejects.toBeInstanceOf(Interrupted);
    expect(context.store.stages.read('prepare')?.status).toBe('interrupted');
  });

  it('because its process died goes on, and what it had vouched for is taken back before anything is touched', async () => {
    const {run, home, context, recipe} = await kitchen();
    await run();
    recipe.flour = 'oat';
    recipe.beforeOutput = () =>
      expect(context.store.stages.read('prepare')).toMatchObject({status: 'running', outputs: []});
    await run();
    rmSync(resultsFolder(home), {recursive: true});
    context.store.stages.begin('prepare', context.store.stages.read('prepare')!.ingredients!);
    expect((await run()).did).toEqual(['prepare ran: was cut short: goes on where it stopped', ...allFresh.slice(1)]);
  });

  it('stops the run before the next stage begins', async () => {
    const {context, abort} = await kitchen();
    const emit = (event: Event) => event.type === 'stage_finished' && abort.abort(new Interrupted());
    await expect(runStages(stages, {...context, emit, signal: abort.signal}, {})).rejects.toBeInstanceOf(Interrupted);
    expect(context.store.stages.read('prepare')?.status).toBe('done');
    expect(context.store.stages.read('teacher')).toBe(null);
  });
});

describe('looking without running', () => {
  it('tells of every stage whether it would run and why', async () => {
    const {run, context, recipe} = await kitchen();
    await run();
    recipe.flour = 'oat';
    const plan = await inspect(stages, context);
    expect(plan.map(({stage: {name}, verdict}) => [name, verdict.fresh, verdict.reason])).toEqual([
      ['prepare', false, 'flour changed from rye to oat'],
      ['teacher', false, 'follows prepare'],
      ['export', false, 'follows teacher'],
    ]);
  });

  it('tells what was asked for from what was not', async () => {
    const {run, context} = await kitchen();
    await run();
    const plan = await inspect(stages, context, {only: 'teacher'});
    expect(plan.map(({stage: {name}, wanted, verdict}) => [name, wanted, verdict.reason])).toEqual([
      ['prepare', false, 'nothing changed'],
      ['teacher', true, 'asked for with --only'],
      ['export', false, 'follows teacher'],
    ]);
  });

  it('writes nothing, not even what it found out of a file that was touched', async () => {
    const {run, context, home, database} = await kitchen();
    await run();
    utimesSync(path.join(home, 'data/bread/crust'), new Date(), new Date(0));
    const store = openStoreToRead(database)!;
    onTestFinished(() => store.close());
    const plan = await inspect(stages, {...context, store});
    expect(plan.every(({verdict}) => verdict.fresh)).toBe(true);
    expect(store.stages.read('teacher')).toEqual(context.store.stages.read('teacher'));
  });
});

it('records what was skipped as asked, and does not ask again', async () => {
  const {context} = await kitchen();
  const skipping = stage(
    'teacher',
    [],
    () => ({}),
    async () => ({outputs: [], summary: {}, headline: 't.pt stands in', status: 'skipped'}),
  );
  expect((await runStages([skipping], context, {})).teacher?.status).toBe('skipped');
  expect((await runStages([skipping], context, {})).teacher?.status).toBe('skipped');
  expect(context.store.stages.read('teacher')?.status).toBe('skipped');
});
