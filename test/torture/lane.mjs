// One lane of torture, a process of its own: runs a small real orchestration again and again, kills and stops its
// processes, fills its disk, damages what it made and sets the clock back; after each, the same command must come to
// what an uninterrupted run comes to, byte for byte.
import {execFileSync} from 'node:child_process';
import {cpSync, mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {python, root} from '../../scripts/setup/places.mjs';
import {damages, forget} from './damage.mjs';
import {
  canMount,
  command,
  dist,
  drawPictures,
  onSmallDisk,
  markProcesses,
  processesOf,
  start,
  untilDeserted,
} from './orchestration.mjs';
import {differences, portraitOf} from './portrait.mjs';
import {randomFrom} from './random.mjs';

const stages = ['prepare', 'teacher', 'export', 'score', 'select', 'pretrain', 'finetune', 'evaluate', 'report'];

const {minutes, kills: killsWanted, seed, isFirst} = JSON.parse(process.argv[2]);
/** A lane that is asked for kills goes on until it has them; without `minutes` there is no other end. */
const deadline = performance.now() + 60_000 * (minutes ?? Infinity);
const random = randomFrom(seed);
process.env.PUPIL_PYTHON = python;
const say = words => process.stdout.write(`${words}\n`);
/** What is the same in every lane, the first one says. */
const sayOnce = isFirst ? say : () => {};

const folder = mkdtempSync(path.join(tmpdir(), 'pupil-torture-'));
const [pictures, home, kept] = ['pictures', 'home', 'uninterrupted'].map(name => path.join(folder, name));
const args = command(pictures, home);
const counts = {
  episodes: 0,
  runs: 0,
  kills: {orchestrator: 0, worker: 0, trainer: 0},
  atPoints: 0,
  stops: 0,
  missed: 0,
  disks: 0,
  damages: 0,
  clocks: 0,
};
const pointsHit = new Set();
const findings = [];
let [secondsSpent, secondsNeeded] = [0, 0];
const kills = () => Object.values(counts.kills).reduce((sum, count) => sum + count);

// ---------------------------------------------------------------- the uninterrupted run

markProcesses(home);
await drawPictures(pictures);
const passagesFile = path.join(folder, 'passages');
const whole = await start([...args, '--json'], {env: {PUPIL_POINTS_PASSED: passagesFile}}).ended;
if (whole.code !== 0) throw new Error(`The uninterrupted run ended with ${whole.code}:\n${whole.words}`);
cpSync(home, kept, {recursive: true, preserveTimestamps: true});
const expected = portraitOf(home);
const {stages: took} = JSON.parse(whole.words.trimEnd().split('\n').at(-1));
const secondsToStart = whole.seconds - Object.values(took).reduce((sum, {seconds}) => sum + seconds, 0);
/** Where the run came past: a point, the process, and how often. */
const passages = passagesIn(readFileSync(passagesFile, 'utf8'));
const {failPoints} = await import(dist('files/fail-point.js'));
const ofTrainer = JSON.parse(
  execFileSync(
    python,
    ['-c', 'import json; from trainer.fail_point import FAIL_POINTS; print(json.dumps(FAIL_POINTS))'],
    {cwd: root, encoding: 'utf8'},
  ),
);
for (const point of [...failPoints, ...ofTrainer])
  if (!passages.some(passage => passage.point === point))
    findings.push(`no process came past ${point} in the uninterrupted run`);
sayOnce(
  `The uninterrupted run took ${whole.seconds.toFixed(1)} s and came past ${failPoints.length + ofTrainer.length} named points in ${new Set(passages.map(({name}) => name)).size} processes.`,
);

function passagesIn(text) {
  const found = new Map();
  for (const line of text.trimEnd().split('\n')) {
    const [point, ...rest] = line.split(' ');
    const name = /attempts\/(\S+)$/.exec(rest.join(' '))?.[1] ?? 'orchestrate';
    const key = `${point} ${name}`;
    found.set(key, {point, name, count: (found.get(key)?.count ?? 0) + 1});
  }
  return [...found.values()];
}

// ---------------------------------------------------------------- what can happen to a run

/** Runs the command, and holds what became of it against what may. */
function run(what, {mayEnd, ...options}) {
  const started = start(args, options);
  return {started, ended: started.ended.then(end => told(what, end, mayEnd))};
}

async function told(what, end, mayEnd) {
  counts.runs++;
  secondsSpent += end.seconds;
  // Asked to stop before its first line has run, it ends as any program does.
  const isTooEarly = ['SIGINT', 'SIGTERM'].includes(end.signal) && end.words === '' && mayEnd.includes(130);
  if (!mayEnd.includes(end.signal ?? end.code) && !isTooEarly)
    findings.push(
      `${what}: ended with ${end.signal ?? end.code}:\n${end.words.trimEnd().split('\n').slice(-6).join('\n')}`,
    );
  for (const {kind, id} of await untilDeserted(home)) findings.push(`${what}: its ${kind} (${id}) outlived it`);
  return end;
}

/** The stage that a process of that name works for; the orchestrator works for all. */
const stageOf = name => stages.find(stage => name.startsWith(stage)) ?? null;
const kindOf = name =>
  name === 'orchestrate'
    ? 'orchestrator'
    : /(train|export|evaluate|import|wrap|quantise)\.json$/.test(name)
      ? 'trainer'
      : 'worker';
/** Stages in which the orchestrator comes past a point. */
const stagesWith = point =>
  point.startsWith('shard') ? ['score'] : point.startsWith('publish') ? ['evaluate', 'report'] : stages;

const happenings = {
  /** Dies where a named point is, in the first of its passages or a later one. */
  async point(passage = nextPassage()) {
    const {point, name, count} = passage;
    const stage = stageOf(name) ?? random.pick(stagesWith(point));
    const nth = name === 'orchestrate' ? 1 + random.below(stage === 'prepare' ? 8 : 2) : 1 + random.below(count);
    const signal = random.below(8) === 0 ? random.pick(['SIGTERM', 'SIGINT']) : 'SIGKILL';
    const what = `${stage}: ${signal} at passage ${nth} of ${point} in ${name}`;
    forget(home, stage);
    const end = await run(what, {
      mayEnd: [0, 4, 130, 143, 'SIGKILL'],
      env: {PUPIL_FAIL_POINT: `${point}:${nth}:${signal}:${name}`},
    }).ended;
    if (signal !== 'SIGKILL') counts.stops++;
    else if (end.signal === 'SIGKILL' || end.code === 4) {
      counts.kills[kindOf(name)]++;
      counts.atPoints++;
      pointsHit.add(point);
    } else counts.missed++;
    return {stage, what};
  },

  /** Dies, or is asked to stop, at some moment. */
  async kill() {
    const stage = random.pick(stages);
    forget(home, stage, {isKept: random.below(4) === 0});
    return {stage, what: await strike(stage)};
  },

  async disk() {
    const stage = random.pick(['prepare', 'teacher', 'score', 'pretrain', 'evaluate']);
    forget(home, stage);
    const before = Number(execFileSync('du', ['-s', '-B1', home], {encoding: 'utf8'}).split('\t')[0]);
    const room = random.below(before);
    const what = `${stage}: a disk with ${Math.round(room / 1000)} kB left`;
    const end = await onSmallDisk(args, home, before + room);
    await told(what, end, [0, 4]);
    if (end.code === 4 && !/full|room left|No space|space left/i.test(end.words))
      findings.push(`${what}: exit 4 without a word of the disk:\n${end.words.slice(-500)}`);
    counts.disks++;
    return {stage, what};
  },

  async damage() {
    const damage = nextDamage();
    const what = damage.do(home, random);
    const end = await run(what, {mayEnd: [0, 4]}).ended;
    counts.damages++;
    // A database that is broken is the user's to bring back.
    if (end.code === 4) restore();
    return {stage: null, what};
  },

  async clock() {
    const stage = random.pick(['teacher', 'score', 'pretrain', 'evaluate']);
    forget(home, stage);
    const what = `${stage}: killed before the clock was set back, and after: ${await strike(stage)}, ${await strike(stage, {clockIsBack: true})}`;
    counts.clocks++;
    return {stage, what, clockIsBack: true};
  },
};

/** Sends a signal to one of the processes at some moment of what a stage takes. */
async function strike(stage, options = {}) {
  const signal = random.below(5) === 0 ? random.pick(['SIGTERM', 'SIGINT']) : 'SIGKILL';
  const moment = random.below(1000) / 1000;
  const {started, ended} = run(`${stage}: a blow at a random moment`, {
    mayEnd: [0, 4, 130, 143, 'SIGKILL'],
    ...options,
  });
  await Promise.race([ended, sleep(1000 * moment * (secondsToStart + (took[stage]?.seconds ?? 1)))]);
  const victim = signal === 'SIGKILL' ? random.pick(processesOf(home)) : {kind: 'orchestrator', id: started.child.pid};
  if (victim === undefined || started.child.exitCode !== null || started.child.signalCode !== null) counts.missed++;
  else {
    try {
      process.kill(victim.id, signal);
      if (signal === 'SIGKILL') counts.kills[victim.kind]++;
      else counts.stops++;
    } catch {
      counts.missed++; // It ended just now.
    }
  }
  await ended;
  return `${signal} of the ${victim?.kind ?? 'nobody'} after ${(100 * moment).toFixed(0)} % of its time`;
}

/** Hands out the entries of a list in a random order, again and again. */
function shuffled(list) {
  let left = [];
  return () => {
    if (left.length === 0) left = [...list];
    return left.splice(random.below(left.length), 1)[0];
  };
}
const nextPassage = shuffled(passages);
const nextDamage = shuffled(damages);
const nextHappening = shuffled([
  'point',
  'point',
  'point',
  'kill',
  'kill',
  'damage',
  'clock',
  ...(canMount() ? ['disk'] : []),
]);
if (!canMount()) sayOnce('SKIPPED: full disks need a namespace of their own, which this machine does not give.');

function restore() {
  rmSync(home, {recursive: true, force: true});
  cpSync(kept, home, {recursive: true, preserveTimestamps: true});
}

// ---------------------------------------------------------------- again and again

process.on('SIGINT', () => {
  for (const {id} of processesOf(home)) process.kill(id, 'SIGKILL');
  rmSync(folder, {recursive: true, force: true});
  process.exit(130);
});
try {
  while (performance.now() < deadline && (killsWanted === null || kills() < killsWanted)) {
    const before = findings.length;
    restore();
    // Now and then all of it, from nothing.
    const fromNothing = random.below(20) === 19;
    let happened;
    if (fromNothing) {
      rmSync(home, {recursive: true});
      happened = {
        stage: null,
        what: `from nothing: ${await strike(random.pick(stages))}, ${await strike(random.pick(stages))}`,
      };
    } else happened = await happenings[nextHappening()]();
    // Most of them several times: what a start costs is paid for one blow as for many.
    if (happened.stage !== null) while (random.below(4) < 3) happened.what += `, then ${await strike(happened.stage)}`;
    const end = await run(happened.what, {mayEnd: [0], clockIsBack: happened.clockIsBack}).ended;
    if (end.code === 0)
      findings.push(...differences(portraitOf(home), expected).map(difference => `${happened.what}: ${difference}`));
    secondsNeeded += fromNothing ? whole.seconds : secondsToStart + (took[happened.stage]?.seconds ?? 0);
    counts.episodes++;
    for (const finding of findings.slice(before)) say(`DIFFERENCE ${finding}`);
  }
} finally {
  rmSync(folder, {recursive: true, force: true});
}

process.send({
  counts,
  points: {all: failPoints.length + ofTrainer.length, hit: [...pointsHit]},
  differences: findings.length,
  secondsSpent,
  secondsLost: Math.max(0, secondsSpent - secondsNeeded),
});
process.disconnect();
