/**
 * What a user sees for arguments and inputs that make no sense: read it in catalogue/*.txt. Only commands that end at
 * once.
 */
import {existsSync, mkdirSync, utimesSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {afterAll, beforeAll, expect, it, vi} from 'vitest';
import {runCommandLine} from '../src/cli.js';
import {exitCodeFor, UserError} from '../src/errors.js';
import {openStore} from '../src/store/open.js';
import {lastingFolder} from './commands/pupil.js';

const {folder, remove} = lastingFolder();
const file = (...names: string[]) => path.join(folder, ...names);
const put = (text: string, ...names: string[]) => {
  mkdirSync(path.dirname(file(...names)), {recursive: true});
  writeFileSync(file(...names), text);
};

beforeAll(() => {
  for (const name of [
    'train/cat/1.jpg',
    'train/dog/1.jpg',
    'test/cat/2.jpg',
    'test/dog/2.jpg',
    'flat/1.jpg',
    'flat/2.jpg',
    'pool/3.jpg',
  ])
    put(name, name);
  mkdirSync(file('empty'));
  put('labelled: train\nunlabelled: pool\n', 'birds.yaml');
  put(
    'labelled: train\nunlabelled: pool\ntrian: {batch_size: 64, epochs: 3}\nselect:\n  topk: 5\nteacher:\n  model: resnet5\n',
    'slips.yaml',
  );
  put('labelled: [train\n', 'broken.yaml');
  put('config: {labelled: train, unlabelled: pool}\narms: {one_: , two: }\nreference: oen_\n', 'arms.yaml');
  put('config: {labelled: train, unlabelled: pool}\nseed: [1]\narms: {one: {sets: {}}}\n', 'sets.yaml');
  put('no folder', 'file');
  for (const [hour, run] of ['birds', 'flowers'].entries()) {
    const database = file('home', 'db', `${run}.sqlite`);
    openStore(database).close();
    // The one that was written last comes first.
    utimesSync(database, new Date(2020, 0, 1, hour), new Date(2020, 0, 1, hour));
  }
});
afterAll(remove);

/** The edge of the process, but for the process: what main.ts makes of the same command. */
async function seen(args: readonly string[]): Promise<string> {
  const written = {stdout: '', stderr: ''};
  const capture = (stream: NodeJS.WriteStream, name: 'stdout' | 'stderr') =>
    vi.spyOn(stream, 'write').mockImplementation(chunk => {
      written[name] += String(chunk);
      return true;
    });
  const spies = [capture(process.stdout, 'stdout'), capture(process.stderr, 'stderr')];
  vi.stubEnv('PUPIL_PYTHON', '/nowhere/python');
  let code = 0;
  try {
    await runCommandLine(
      args.map(arg => arg.replaceAll('DIR', folder)),
      {requested: new AbortController().signal, forced: new AbortController().signal},
    );
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    code = exitCodeFor(error);
    written.stderr += `${error.message}\n`;
  } finally {
    for (const spy of spies) spy.mockRestore();
    vi.unstubAllEnvs();
  }
  const shown = (text: string) => text.replaceAll(folder, 'DIR').replaceAll(process.cwd(), 'HERE');
  const part = (name: 'stdout' | 'stderr') =>
    written[name] === '' ? '' : `${name}\n${shown(written[name]).replace(/^(?=.)/gm, '  ')}`;
  return `$ pupil ${args.join(' ')}\nexit ${code}\n${part('stdout')}${part('stderr')}`;
}

const sets = '--labelled DIR/train --unlabelled DIR/pool --test DIR/test';
const catalogue: Readonly<Record<string, readonly string[]>> = {
  'commands and flags': [
    '',
    'stauts',
    'orch',
    'zebra',
    '5',
    'status extra',
    'status --jsno',
    'status -x',
    'orchestrate --labeled DIR/train',
    'orchestrate --dry-runn',
    'status --home',
    'orchestrate --set',
    'why',
    'compare birds',
    'predict',
    'status --run a --run b',
    'status --home a --home b',
    'rankings --csv --json',
  ],
  'values of flags': [
    'rankings -n abc',
    'rankings -n -5',
    'rankings -n 0',
    'rankings -n 1.5',
    'rankings --offset -1',
    'predict a.jpg --top 0',
    'orchestrate --max-failures 1%',
    'orchestrate --max-failures 2',
    'orchestrate --from scoring',
    'orchestrate --only pretrian',
    'orchestrate --only score --from select',
    'orchestrate --only score --until select',
    'orchestrate --from select --until score',
    'orchestrate --preset dmeo',
    'orchestrate --preset cifar',
    `orchestrate ${sets} --device gpu`,
    'fetch cifar',
    'fetch imagenet',
    'fetch cifar10 --mirror example.org',
  ],
  'homes and runs': [
    'status --home DIR/nope',
    'runs --home DIR/nope',
    `orchestrate ${sets} --home DIR/nope/deeper`,
    `orchestrate ${sets} --home DIR/file`,
    'status --home DIR/empty',
    'runs --home DIR/empty',
    'status --home DIR/home --run brids',
    'compare birds flower --home DIR/home',
    'status --home DIR/home --run birds',
  ],
  'configuration files': [
    'orchestrate DIR/brids.yaml',
    'orchestrate demo',
    'orchestrate DIR/nowhere/a.yaml',
    'orchestrate DIR/train',
    'orchestrate DIR/broken.yaml',
    'orchestrate DIR/slips.yaml',
    'experiment DIR/nowhere.yaml',
    'experiment DIR/arms.yaml',
    'experiment DIR/sets.yaml',
    `orchestrate ${sets} --set trian.epochs=3 --set topk=4 --set select.top_k`,
  ],
  sources: [
    'orchestrate',
    `orchestrate --labelled DIR/trian --unlabelled DIR/pool`,
    `orchestrate --labelled DIR/flat --unlabelled DIR/pool --home DIR/fresh`,
    `orchestrate --labelled DIR/empty --unlabelled DIR/pool`,
    `orchestrate --labelled DIR/train --unlabelled DIR/pool --test DIR/flat --home DIR/fresh`,
    `orchestrate --labelled DIR/train --unlabelled DIR/pool --validation DIR/flat --dry-run`,
    `orchestrate ${sets} --home DIR/fresh`,
    `orchestrate ${sets} --only score --home DIR/fresh`,
    `orchestrate ${sets} --only score --dry-run`,
    `orchestrate ${sets} --from finetune --dry-run`,
  ],
};

it.each(Object.keys(catalogue))('%s', async title => {
  const entries: string[] = [];
  for (const line of catalogue[title]!) entries.push(await seen(line === '' ? [] : line.split(' ')));
  await expect(entries.join('\n')).toMatchFileSnapshot(`catalogue/${title.replaceAll(' ', '-')}.txt`);
  // No run came of any of these.
  expect(existsSync(file('fresh'))).toBe(false);
});
