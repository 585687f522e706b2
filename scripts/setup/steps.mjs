// Runs a step of set-up: only where its stamp says that something changed, with its commands' own words as progress,
// and with the command that mends it where one fails.
import {existsSync, mkdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {ended} from './ended.mjs';

/** Something the user can mend; the message says how. */
export class SetupError extends Error {}

/** What npm and pip say at every turn is progress, and hides what went wrong at the end. */
const CHATTER = /^npm (http|info|verb|sill|timing) /;

/** npm's and pip's lines about what they begin, in a few words; null for all others. */
function actionOf(line) {
  const script = /^npm info run (\S+?)(?:@\S+)? (?:pre|post)?install .*[^}]$/.exec(line);
  if (script) return `building ${script[1]}`;
  const fetched = /^npm http fetch GET 200 \S*?\/([^/\s]+?)(?:\.tgz)? /.exec(line);
  if (fetched) return `fetched ${decodeURIComponent(fetched[1])}`;
  const collecting =
    /^\s*(Collecting|Downloading|Building|Installing) (collected packages|\S+)(?: .*?(\([\d.]+ [kMG]B\)))?/.exec(line);
  if (!collecting) return null;
  const [, verb, what, size] = collecting;
  return [
    verb.toLowerCase(),
    what
      .split('/')
      .at(-1)
      .replace(/(-cp\d+|-py\d).*\.whl$/, ''),
    size,
  ]
    .filter(Boolean)
    .join(' ');
}

/** What the steps of one set-up share. */
export function stepsOf({progress, signal}) {
  let ranAny = false;
  const command = (file, args, options, task) =>
    ended(file, args, {
      ...options,
      signal,
      onLine(line) {
        const action = actionOf(line);
        if (action !== null) progress.doing(task, action);
      },
    });
  /**
   * Does `work` unless the stamp holds this key. It gets `run`, which throws where a command fails, and `succeeds`,
   * which tells.
   */
  async function step(stamp, key, task, work) {
    if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
    ranAny = true;
    const begun = performance.now();
    progress.say(`${task} ...`);
    progress.begin(task);
    try {
      rmSync(stamp, {force: true});
      await work({
        say: progress.say,
        async run(file, args, {mend, ...options}) {
          const {code, output} = await command(file, args, options, task);
          signal?.throwIfAborted();
          if (code === 0) return;
          const said = output
            .trim()
            .split('\n')
            .filter(line => !CHATTER.test(line));
          throw new SetupError(`${file} ${args.join(' ')} failed.\n${said.slice(-25).join('\n')}\nTo mend it: ${mend}`);
        },
        async succeeds(file, args) {
          const {code} = await command(file, args, {}, task);
          signal?.throwIfAborted();
          return code === 0;
        },
      });
      mkdirSync(path.dirname(stamp), {recursive: true});
      writeFileSync(stamp, key);
    } finally {
      progress.done(task);
    }
    progress.say(`${task}: done in ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  }
  return {step, ranAny: () => ranAny};
}
