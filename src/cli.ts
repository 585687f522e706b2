/** Every command and flag, declared in one place; what a command does is imported only when it is called. */
import yargs, {type Argv} from 'yargs';
import {version} from '../scripts/setup/places.mjs';
import type {Stop} from './children/child.js';
import {
  refuseContradiction,
  refuseEmpty,
  refuseRepeated,
  refuseUnknown,
  shareOfOne,
  stageCalled,
  wholeNumber,
  wordComplaint,
} from './arguments.js';
import {stageNames} from './events.js';
import {existingHome, homeToBe} from './home.js';
import {presetNames} from './config/layers.js';

const LOOKING = 'Looking:';
/** Options that may be given several times; of the others a second one would silently win, or come out as a list. */
const REPEATABLE = ['unlabelled', 'set', 'images', 'datasets', 'runs'];

/** Options with a value; without one they would count as empty. */
const text = (describe: string) => ({type: 'string', requiresArg: true, describe}) as const;
const texts = (describe: string) => ({type: 'string', array: true, nargs: 1, describe}) as const;
/** Numbers are read by us: yargs makes NaN of what is none, and nothing can tell any more what was typed. */
const whole = (flag: string, atLeast: number, describe: string) =>
  ({type: 'string', requiresArg: true, describe, coerce: wholeNumber(flag, atLeast)}) as const;
const stage = (flag: string, describe: string) =>
  ({choices: stageNames, requiresArg: true, describe, coerce: stageCalled(flag)}) as const;

const homeOption = <T>(command: Argv<T>, checked = homeToBe) =>
  command.option('home', {
    ...text('Folder that holds models/, data/ and db/'),
    default: '.',
    // A list comes of a repeated --home, which the check below refuses, as it does nothing at all.
    coerce: (folder: string) => (Array.isArray(folder) || folder === '' ? folder : checked(folder)),
  });
/** For commands that only look at what is there. */
const lookedHomeOption = <T>(command: Argv<T>) => homeOption(command, existingHome);
const runOption = <T>(command: Argv<T>) =>
  lookedHomeOption(command).option('run', {...text('Name of the run (default: the one written last)'), group: LOOKING});
const jsonOption = <T>(command: Argv<T>) =>
  command.option('json', {type: 'boolean', default: false, describe: 'JSON on stdout'});

/** In front of arguments that yargs would take for an option, or lose; no argument can hold a NUL of its own. */
const BEHIND = '\0';

/**
 * What stands behind `--` counts like any other argument, also where it begins with a dash: yargs would give it to no
 * command. A dash alone is a name like any other.
 */
function markDashes(args: readonly string[]): string[] {
  const at = args.includes('--') ? args.indexOf('--') : args.length;
  return [
    ...args.slice(0, at).map(arg => (arg === '-' ? BEHIND + arg : arg)),
    ...args.slice(at + 1).map(arg => (arg.startsWith('-') ? BEHIND + arg : arg)),
  ];
}

const unmarked = (value: unknown): unknown =>
  typeof value === 'string' && value.startsWith(BEHIND)
    ? value.slice(BEHIND.length)
    : Array.isArray(value)
      ? value.map(unmarked)
      : value;

/** Parses the arguments and runs the command. Throws usage errors instead of printing and exiting. */
export async function runCommandLine(args: readonly string[], stop: Stop): Promise<void> {
  const parser = yargs(markDashes(args));
  await parser
    // Half of what is said would else be in the language of the machine.
    .locale('en')
    .scriptName('pupil')
    .usage(
      '$0 COMMAND\n\nSemi-supervised image classification: a teacher scores your unlabelled pictures,\na student learns from the best of them.',
    )
    .command(
      'orchestrate [config]',
      'Run everything, in order; run it again and it goes on',
      command =>
        jsonOption(homeOption(command))
          .positional('config', {type: 'string', describe: 'A YAML file with any of the configuration keys'})
          .option('preset', text(`One of: ${presetNames().join(', ')}`))
          .option('labelled', text('Labelled pictures: a folder of class folders, or another source'))
          .option('unlabelled', texts('Unlabelled pictures; may be repeated'))
          .option('validation', text('Validation pictures (default: split off the labelled ones)'))
          .option('test', text('Test pictures, read once at the end'))
          .option('teacher', text('A ready-made teacher: .safetensors, .pt, .pth or .onnx'))
          .option('set', texts('Any configuration key, such as --set select.top_k=4000'))
          .option('run', text("Name of the run (default: the preset's or the file's)"))
          .option('device', text('auto, cpu, cuda or cuda:N'))
          .option('max-failures', {
            ...text('Share of pictures that may be unusable (default: 0.01, which is 1 %)'),
            coerce: shareOfOne('--max-failures'),
          })
          .option('python', text("Interpreter with torch (default: PUPIL_PYTHON, else pupil's own)"))
          .option('from', stage('--from', 'Rerun from this stage on'))
          .option('only', stage('--only', 'Rerun this stage alone'))
          .option('until', stage('--until', 'Stop after this stage'))
          .option('dry-run', {type: 'boolean', default: false, describe: 'Say what would run, why, and how much it is'})
          .option('accept-change', {
            type: 'boolean',
            default: false,
            describe: 'If held-out pictures changed: keep the run as it is as NAME@1, and go on',
          })
          .example('$0 orchestrate --preset demo', 'draws its own pictures; no network, no files')
          .example('$0 orchestrate --labelled birds/train --unlabelled pool --test birds/test', 'your own pictures'),
      async flags => {
        refuseContradiction(flags);
        await (await import('./commands/orchestrate.js')).orchestrate({...flags, file: flags.config}, stop);
      },
    )
    .command(
      'demo',
      'Draw ten kinds of things, and run everything on them',
      command =>
        jsonOption(homeOption(command))
          .option('python', text("Interpreter with torch (default: PUPIL_PYTHON, else pupil's own)"))
          .option('until', {choices: stageNames, requiresArg: true, describe: 'Stop after this stage'})
          .option('dry-run', {type: 'boolean', default: false, describe: 'Say what would run'}),
      async flags =>
        (await import('./commands/orchestrate.js')).orchestrate({...flags, preset: 'demo', acceptChange: false}, stop),
    )
    .command(
      'setup',
      "Install what pupil needs beside Node: the trainer's Python packages, SQLite, onnxruntime",
      {},
      async () => (await import('./commands/setup.js')).setup(stop),
    )
    .command(
      'fetch <datasets..>',
      'Download data sets by name: cifar10, cifar100, tiny-imagenet',
      command =>
        jsonOption(homeOption(command))
          .positional('datasets', {
            type: 'string',
            array: true,
            demandOption: true,
            describe: 'One or several of these names',
          })
          .option('mirror', text('Address under which the archives lie by the same names'))
          .example('$0 fetch cifar100 tiny-imagenet', 'what the preset cifar100 needs'),
      async flags => (await import('./commands/fetch.js')).fetchByName(flags, stop),
    )
    .command(
      'experiment <file>',
      'Run every arm of an experiment under every seed, and compare them',
      command =>
        jsonOption(homeOption(command))
          .positional('file', {
            type: 'string',
            demandOption: true,
            describe: 'A YAML file with arms and seeds, such as those in experiments/',
          })
          .option('device', text('auto, cpu, cuda or cuda:N'))
          .option('python', text("Interpreter with torch (default: PUPIL_PYTHON, else pupil's own)"))
          .option('dry-run', {
            type: 'boolean',
            default: false,
            describe: 'Say what would run, and how long it would take',
          }),
      async flags => (await import('./commands/experiment.js')).experiment(flags, stop),
    )
    .command(
      'status',
      'Where each stage stands, and why',
      command => jsonOption(runOption(command)),
      async flags => (await import('./commands/status.js')).status(flags, stop),
    )
    .command(
      'rankings [class]',
      'What each class got, or one class in order',
      command =>
        jsonOption(runOption(command))
          .positional('class', {type: 'string', describe: 'Name of a class'})
          .option('limit', {...whole('-n', 1, 'Rows shown'), alias: 'n', default: 20})
          .option('offset', {...whole('--offset', 0, 'Rows to skip'), default: 0})
          .option('csv', {type: 'boolean', default: false, describe: 'CSV on stdout'}),
      async flags => (await import('./commands/rankings.js')).rankings(flags),
    )
    .command(
      'why <image>',
      'Why an image was chosen, or was not',
      command =>
        jsonOption(runOption(command)).positional('image', {
          type: 'string',
          demandOption: true,
          describe: 'Its path, place, or the beginning of its id',
        }),
      async flags => (await import('./commands/why.js')).why(flags),
    )
    .command(
      'report',
      'Write the report of a run, and name it',
      command => runOption(command),
      async flags => (await import('./commands/report.js')).report(flags, stop),
    )
    .command(
      'pool',
      'What the pool holds, and where from',
      command =>
        jsonOption(runOption(command)).option('csv', {
          type: 'boolean',
          default: false,
          describe: 'Every picture of it: image, place',
        }),
      async flags => (await import('./commands/pool.js')).pool(flags),
    )
    .command(
      'predict <images..>',
      "The student's answer for pictures of yours",
      command =>
        jsonOption(runOption(command))
          .positional('images', {type: 'string', array: true, demandOption: true, describe: 'Picture files'})
          .option('top', {...whole('--top', 1, 'Classes an image'), default: 5}),
      async flags => (await import('./commands/predict.js')).predict(flags, stop),
    )
    .command(
      'doctor',
      'Check that this machine has what a run needs',
      command => jsonOption(homeOption(command)).option('python', text('Interpreter with torch')),
      async flags => (await import('./commands/doctor.js')).doctor(flags, stop),
    )
    .command(
      'runs',
      'The runs of this home',
      command => jsonOption(lookedHomeOption(command)),
      async flags => (await import('./commands/runs.js')).runs(flags),
    )
    .command(
      'compare <a> <b>',
      'Two runs side by side',
      command =>
        jsonOption(lookedHomeOption(command))
          .positional('a', {type: 'string', demandOption: true, describe: 'Name of a run'})
          .positional('b', {type: 'string', demandOption: true, describe: 'Name of another'}),
      async flags => (await import('./commands/runs.js')).compare(flags),
    )
    .command(
      'verify [runs..]',
      'Read again all that runs vouch for, and tell what is damaged',
      command =>
        jsonOption(lookedHomeOption(command)).positional('runs', {
          type: 'string',
          array: true,
          default: [],
          defaultDescription: 'all of this home',
          describe: 'Names of runs',
        }),
      async flags => (await import('./commands/verify.js')).verify(flags, stop),
    )
    .command(
      'rm <runs..>',
      'Remove runs: what they made, and their records',
      command =>
        jsonOption(lookedHomeOption(command))
          .positional('runs', {type: 'string', array: true, demandOption: true, describe: 'Names of runs'})
          .option('dry-run', {type: 'boolean', default: false, describe: 'Say what that would free'}),
      async flags => (await import('./commands/rm.js')).rm(flags, stop),
    )
    .command(
      'gc',
      'Remove what is kept of stages and no run needs any more',
      command =>
        jsonOption(lookedHomeOption(command)).option('dry-run', {
          type: 'boolean',
          default: false,
          describe: 'Show it, and remove nothing',
        }),
      async flags => (await import('./commands/gc.js')).gc(flags, stop),
    )
    .demandCommand(1, 'Name a command')
    .middleware(flags => {
      for (const [name, value] of Object.entries(flags)) flags[name] = unmarked(value);
    }, true)
    .check(flags => {
      refuseUnknown(parser, flags);
      refuseRepeated(flags, REPEATABLE);
      refuseEmpty(flags);
      return true;
    })
    .wrap(Math.min(100, process.stdout.columns || 80))
    .help()
    .alias('help', 'h')
    // yargs would look for a package.json around node_modules/.bin and tell that project's.
    .version(version)
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      // yargs throws some of its complaints about arguments as errors of its own kind.
      if (error && error.name !== 'YError') throw error;
      throw wordComplaint(parser, message ?? error?.message ?? 'These arguments make no sense');
    })
    .parseAsync();
}
