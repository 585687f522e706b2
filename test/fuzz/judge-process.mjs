// A process that judges, watched: one request at a time, and an outcome whatever becomes of it.
import {spawn} from 'node:child_process';
import {createInterface} from 'node:readline';
import {clearTimeout, setTimeout} from 'node:timers';

const OUTCOMES = 3;
/** Generous: on a busy machine a sound case may take seconds. */
const LIMIT_MS = 300_000;
const WORDS_KEPT = 4000;

/**
 * Starts it. `ask` resolves with `{first, second, memory}`, or with `{kind, detail}` where the process died or hung; it
 * is then of no more use.
 */
export function startJudge(command, args, {cwd, env}) {
  const child = spawn(command, args, {cwd, env, stdio: ['pipe', 'ignore', 'pipe', 'pipe']});
  let lastWords = '';
  child.stderr.on('data', chunk => (lastWords = (lastWords + chunk).slice(-WORDS_KEPT)));
  child.stdin.on('error', () => {}); // Its end is told below.
  const lines = createInterface({input: child.stdio[OUTCOMES]});
  const ended = new Promise(resolve => {
    child.on('error', error => resolve(error.message));
    child.on('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });

  async function ask(request) {
    let timer;
    const hung = new Promise(
      resolve =>
        (timer = setTimeout(resolve, LIMIT_MS, {kind: 'hung', detail: `no outcome within ${LIMIT_MS / 1000} s`})),
    );
    const died = ended.then(how => ({kind: 'died', detail: `${how}\n${lastWords}`}));
    const answered = new Promise(resolve => lines.once('line', line => resolve(JSON.parse(line))));
    child.stdin.write(`${JSON.stringify(request)}\n`);
    try {
      const outcome = await Promise.race([answered, died, hung]);
      if (outcome.kind === 'hung') child.kill('SIGKILL');
      return outcome;
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    ask,
    async close() {
      child.stdin.end();
      await ended;
    },
  };
}
