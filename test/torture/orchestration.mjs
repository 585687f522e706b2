// A small real run of pupil, its processes, and what can be done to them.
import {execFileSync, spawn} from 'node:child_process';
import {once} from 'node:events';
import {appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync} from 'node:fs';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const dist = file => new URL(`../../dist/${file}`, import.meta.url).href;
const program = path.join(root, 'dist', 'main.js');
const clockBack = new URL('clock-back.mjs', import.meta.url).href;
export const RUN = 'torture';
/** How long a process may outlive its parent, or hold up its end, before that is a finding. */
const PATIENCE_MS = 120_000;

/** Draws a set of ten classes, four labels each, and a pool of forty with a file that is no picture. */
export async function drawPictures(folder) {
  const {drawDemo} = await import(dist('worker/draw-demo.js'));
  const task = {
    protocol: 1,
    task: 'draw',
    output: folder,
    seed: 5,
    size: 32,
    labelledPerClass: 6,
    unlabelled: 40,
    testPerClass: 2,
  };
  await drawDemo(task, {signal: new AbortController().signal, emit: async () => {}});
  appendFileSync(path.join(folder, 'unlabelled', 'broken.png'), 'no picture');
}

const settings = [
  'image.size=32',
  'device=cpu',
  'limits.threads=1',
  'limits.max_failures=0.5',
  'train.batch_size=8',
  'train.evaluations=2',
  'train.checkpoint_minutes=0.0001',
  'teacher.model=cifarnet',
  'teacher.epochs=2',
  'pretrain.epochs=2',
  'finetune.epochs=2',
  'select.top_p=2',
  'select.top_k=4',
  'evaluate.baseline=true',
  'score.shard_size=10',
  'score.batch_size=4',
  'score.decode_threads=1',
  'score.networks=1',
  'score.network_threads=1',
];

export const command = (pictures, home) => [
  'orchestrate',
  '--home',
  home,
  '--run',
  RUN,
  '--labelled',
  path.join(pictures, 'labelled'),
  '--unlabelled',
  path.join(pictures, 'unlabelled'),
  '--test',
  path.join(pictures, 'test'),
  ...settings.flatMap(setting => ['--set', setting]),
];

/**
 * Starts an orchestration; `env` is added to this process's own. `ended` resolves with its exit code, signal, seconds
 * and words.
 */
export function start(args, {env = {}, clockIsBack = false} = {}) {
  const begun = performance.now();
  const child = spawn(process.execPath, [...(clockIsBack ? ['--import', clockBack] : []), program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {...process.env, NO_COLOR: '1', ...env},
  });
  let words = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (words += String(chunk)));
  const ended = once(child, 'close').then(([code, signal]) => ({
    code,
    signal,
    seconds: (performance.now() - begun) / 1000,
    words,
  }));
  return {child, ended};
}

/**
 * Whose environment says which home it works for: the arguments of an image worker do not. Children are given whatever
 * begins with PUPIL_.
 */
export const markProcesses = home => (process.env.PUPIL_MARK = home);

/** The living processes that work for a home, by what they are: orchestrator, worker, trainer. */
export function processesOf(home) {
  const found = [];
  for (const id of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      const line = readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const isOurs = readFileSync(`/proc/${id}/environ`, 'utf8').split('\0').includes(`PUPIL_MARK=${home}`);
      const isDead = readFileSync(`/proc/${id}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .startsWith('Z');
      if (isDead || !isOurs) continue;
      const kind = line.includes('dist/main.js')
        ? 'orchestrator'
        : line.includes('dist/worker/main.js')
          ? 'worker'
          : line.includes('-m trainer')
            ? 'trainer'
            : null;
      if (kind !== null) found.push({kind, id: Number(id)});
    } catch {
      // It ended while it was looked at.
    }
  }
  return found;
}

/** Waits until no process works for a home; says which ones still do after a long time. */
export async function untilDeserted(home) {
  for (const begun = performance.now(); performance.now() - begun < PATIENCE_MS; await sleep(50))
    if (processesOf(home).length === 0) return [];
  return processesOf(home);
}

const namespace = ['--map-root-user', '--mount'];
export function canMount() {
  try {
    execFileSync('unshare', [...namespace, 'sh', '-c', 'mount -t tmpfs tmpfs /mnt'], {stdio: 'ignore'});
    return true;
  } catch {
    return false;
  }
}

/** Runs a command with the home on a disk of `bytes`; what is there at its end is the home afterwards. */
export async function onSmallDisk(args, home, bytes) {
  const aside = `${home}.aside`;
  mkdirSync(home, {recursive: true});
  const script = `
    cp -a "$1/." "$2" && mount -t tmpfs -o size=$3 tmpfs "$1" && cp -a "$2/." "$1" || exit 99
    home="$1"; aside="$2"; shift 3
    "$@" 2>&1; code=$?
    rm -rf "$aside" && cp -a "$home/." "$aside"
    exit $code`;
  if (!existsSync(aside)) mkdirSync(aside);
  const begun = performance.now();
  const child = spawn(
    'unshare',
    [...namespace, 'sh', '-c', script, 'sh', home, aside, String(bytes), process.execPath, program, ...args],
    {stdio: ['ignore', 'pipe', 'inherit'], env: {...process.env, NO_COLOR: '1'}},
  );
  let words = '';
  child.stdout.on('data', chunk => (words += String(chunk)));
  const [code, signal] = await once(child, 'close');
  execFileSync('rm', ['-rf', home]);
  execFileSync('mv', [aside, home]);
  return {code, signal, seconds: (performance.now() - begun) / 1000, words};
}
