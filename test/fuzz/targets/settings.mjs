// What people type: configs, experiments, lists of classes, and command lines.
import {mkdir, readFile} from 'node:fs/promises';
import {parse, stringify} from 'yaml';
import {runCommandLine} from '../../../dist/cli.js';
import {readConfig} from '../../../dist/config/layers.js';
import {readExperiment} from '../../../dist/config/experiment.js';
import {teacher} from '../../../dist/stages/teacher.js';
import {mutateText, mutateValue, word} from '../mutate.mjs';

/** YAML of which the values or the lines were changed. */
function mutateYaml(random, text) {
  if (random.below(2) === 0) return mutateText(random, text);
  const strange = mutateValue(random, parse(text));
  try {
    return Buffer.from(stringify(strange, {aliasDuplicateObjects: false}));
  } catch {
    return Buffer.from(JSON.stringify(strange)); // Too deep for the one writer, and YAML all the same.
  }
}

const commands = [
  ['status', '--json'],
  ['status', '--run', 'demo', '--home', '.'],
  ['rankings', 'ant', '-n', '5', '--offset', '2', '--csv'],
  ['why', 'a/b.png', '--run', 'demo'],
  ['report', '--run', 'demo'],
  ['predict', 'a.png', 'b.png', '--top', '3'],
  ['runs', '--json'],
  ['compare', 'a', 'b'],
  ['experiment', 'none.yaml', '--dry-run'],
  [
    'orchestrate',
    'none.yaml',
    '--preset',
    'demo',
    '--labelled',
    'a',
    '--unlabelled',
    'b',
    '--unlabelled',
    'c',
    '--test',
    'd',
    '--set',
    'select.top_k=40',
    '--dry-run',
  ],
  ['orchestrate', '--only', 'select', '--max-failures', '0.5', '--device', 'cpu', '--json'],
  ['--help'],
  ['--version'],
];
/** Commands that install, download, draw or start something: what they do is no matter of reading arguments. */
const DOING = ['setup', 'fetch', 'demo', 'doctor'];
/** Whatever else was typed, an orchestration with it ends at its configuration. */
const REFUSED = ['--set', 'fuzz.no_such_key=1'];

function mutateArguments(random, given) {
  let made = [...given];
  for (let left = 1 + random.below(3); left > 0; left--) {
    const at = random.below(made.length + 1);
    const other = random.pick(random.pick(commands));
    made = random.pick([
      () => made.toSpliced(at, 1),
      () => made.toSpliced(at, 0, other),
      () => made.toSpliced(at, 0, word(random)),
      () =>
        made.toSpliced(
          at,
          1,
          random.pick([
            word(random),
            `${made[at] ?? ''}${random.pick(['s', '=', '=x', ' ', '-'])}`,
            (made[at] ?? '').slice(1),
          ]),
        ),
      () => [...made, ...made],
      () =>
        made.toSpliced(
          at,
          0,
          random.pick([
            '--',
            '-',
            '---',
            '--home',
            '--no-json',
            '-h',
            '--json=maybe',
            '--limit',
            '--run=',
            '--home=/nope',
            '--top=-1',
            '-n1e9',
          ]),
        ),
    ])();
  }
  return made;
}

export const settings = [
  {
    name: 'config',
    lane: 'readers',
    share: 10,
    make: (random, {configs}, isSound) => [
      ['config.yaml', isSound ? Buffer.from(configs[0]) : mutateYaml(random, random.pick(configs))],
    ],
    judge: async ({folder}) => ({kind: 'taken', detail: readConfig({file: `${folder}/config.yaml`}, folder)}),
  },
  {
    name: 'flag',
    lane: 'readers',
    share: 3,
    make: (random, _, isSound) => [
      [
        'flag.txt',
        isSound
          ? Buffer.from('select.top_k=40')
          : mutateText(
              random,
              random.pick(['select.top_k=40', 'image.size=32', 'unlabelled=[a, b]', 'teacher.mean=[0.5, 0.4, 0.3]']),
            ),
      ],
    ],
    judge: async ({folder}) => ({
      kind: 'taken',
      detail: readConfig({preset: 'demo', set: [await readFile(`${folder}/flag.txt`, 'utf8')]}, folder),
    }),
  },
  {
    name: 'experiment',
    lane: 'readers',
    share: 4,
    make: (random, {experiments}, isSound) => [
      ['experiment.yaml', isSound ? Buffer.from(experiments[0]) : mutateYaml(random, random.pick(experiments))],
    ],
    async judge({folder}) {
      const {runs, ...experiment} = readExperiment({file: `${folder}/experiment.yaml`}, folder);
      return {kind: 'taken', detail: {...experiment, runs: runs.length, first: runs.slice(0, 100)}};
    },
  },
  {
    name: 'classes',
    lane: 'readers',
    share: 2,
    make: (random, _, isSound) => [
      ['teacher.pt', Buffer.from('weights')],
      ['classes.txt', isSound ? Buffer.from('ant\nbee\n') : mutateText(random, 'ant\nbee\ngroße Eule\r\n7\n')],
    ],
    async judge({folder, signal}) {
      const config = readConfig(
        {preset: 'demo', teacher: `${folder}/teacher.pt`, set: [`teacher.classes=${folder}/classes.txt`]},
        folder,
      );
      return {
        kind: 'taken',
        detail: await teacher.ingredients({config, size: 32, resize: 32, signal, store: {}}, () => null),
      };
    },
  },
  {
    name: 'arguments',
    lane: 'readers',
    share: 5,
    make(random, _, isSound) {
      const given = isSound
        ? ['--help']
        : mutateArguments(random, random.pick(commands)).filter(argument => !DOING.includes(argument));
      const made = given.flatMap(argument => (argument === 'orchestrate' ? [argument, ...REFUSED] : [argument]));
      return [['arguments.json', Buffer.from(JSON.stringify(made))]];
    },
    async judge({folder}) {
      const never = new AbortController().signal;
      const home = `${folder}/home`;
      await mkdir(home, {recursive: true});
      process.chdir(home);
      await runCommandLine(JSON.parse(await readFile(`${folder}/arguments.json`, 'utf8')), {
        requested: never,
        forced: never,
      });
      return {kind: 'taken', detail: null};
    },
  },
];
