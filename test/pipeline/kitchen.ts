/** Runs of three stages that read each other, for tests of the engine. */
import {readFileSync} from 'node:fs';
import {mkdir, writeFile} from 'node:fs/promises';
import {publishFile} from '../../src/files/publish.js';
import path from 'node:path';
import {onTestFinished} from 'vitest';
import type {Event, StageName} from '../../src/events.js';
import {runPaths} from '../../src/home.js';
import {runStages, type EngineContext, type Wanted} from '../../src/pipeline/run.js';
import type {Stage} from '../../src/pipeline/stage.js';
import {openStore} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';

export interface Kitchen extends EngineContext {
  /** What the stages depend on and do; a test changes it between runs. */
  readonly recipe: {flour: string; oven: string; beforeOutput: () => void};
}

/**
 * Three stages that read each other: `prepare` makes dough of the first letter of the flour, `teacher` bakes it (two
 * files, and a digest of rows), `export` serves the bread.
 */
export const stage = (
  name: StageName,
  reads: string[],
  ingredients: Stage<Kitchen>['ingredients'],
  run: Stage<Kitchen>['run'],
): Stage<Kitchen> => ({name, version: 1, reads, ingredients, run});
export const file = ({paths}: Kitchen, name: string) => path.join(paths.data, name);
/** As every stage does: nothing that is there already is written into. */
const serve = (place: string, food: string | Buffer) => publishFile(place, temporary => writeFile(temporary, food));
export const stages = [
  stage(
    'prepare',
    [],
    ({recipe}) => ({flour: recipe.flour}),
    async context => {
      context.recipe.beforeOutput();
      await serve(file(context, 'dough'), `dough of ${context.recipe.flour.charAt(0)}`);
      return {outputs: [{name: 'dough', files: [file(context, 'dough')]}], summary: {weight: 3}, headline: 'kneaded'};
    },
  ),
  stage(
    'teacher',
    ['prepare.dough'],
    ({recipe}) => ({oven: recipe.oven}),
    async context => {
      const dough = readFileSync(file(context, 'dough'), 'utf8');
      for (const name of ['crust', 'crumb'])
        await serve(file(context, name), `${name} of ${dough} at ${context.recipe.oven}`);
      return {
        outputs: [
          {name: 'bread', files: [file(context, 'crust'), file(context, 'crumb')]},
          {name: 'smell', digest: context.recipe.oven},
        ],
        summary: {},
        headline: 'baked',
      };
    },
  ),
  stage(
    'export',
    ['teacher.bread', 'teacher.smell'],
    () => ({}),
    async context => {
      await serve(file(context, 'plate'), readFileSync(file(context, 'crust')));
      return {outputs: [{name: 'plate', files: [file(context, 'plate')]}], summary: {}, headline: 'served'};
    },
  ),
];

/** A run of the home, which is a new one unless it is given. */
export async function kitchen(given?: string, name = 'bread') {
  const home = given ?? (await temporaryFolder());
  const paths = runPaths(home, name);
  await mkdir(paths.data, {recursive: true});
  const {database} = paths;
  const store = openStore(database);
  store.run.take(name, {pid: 1, host: 'here', since: 'now'});
  onTestFinished(() => store.close());
  const events: Event[] = [];
  const abort = new AbortController();
  const recipe = {flour: 'rye', oven: '200', beforeOutput: () => {}};
  const context: Kitchen = {
    paths,
    store,
    signal: abort.signal,
    emit: event => events.push(event),
    makerOf: () => null,
    recipe,
  };
  return {
    home,
    events,
    context,
    abort,
    recipe,
    database,
    /** Runs what is stale, and tells what each stage did and why. */
    run: async (wanted: Wanted = {}, signal = new AbortController().signal) => {
      events.length = 0;
      const outcome = await runStages(stages, {...context, signal}, wanted);
      const did = events.flatMap(event => {
        if (event.type === 'stage_fresh') return [`${event.stage} fresh: ${event.reason}`];
        if (event.type === 'stage_taken') return [`${event.stage} taken from ${event.from}`];
        return event.type === 'stage_started' ? [`${event.stage} ran: ${event.reason}`] : [];
      });
      return {did, outcome};
    },
  };
}
