// npm run fuzz -- [--cases N] [--seed S] [--minutes M]: damages every kind of input that pupil reads, and has its real
// readers judge each twice.
//   --only TARGET [--case N [--keep FOLDER]]   one target, or one case of it, whose files are kept and become a fixture in found/
// Fails where a reader ends with anything but words for people, hangs, writes outside its folder, answers otherwise the
// second time, or fills the memory.
import {mkdir, mkdtemp, readdir, readFile, rm, writeFile} from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {python, root} from '../../scripts/setup/places.mjs';
import {randomFrom} from '../torture/random.mjs';
import {startJudge} from './judge-process.mjs';
import {findings} from './outcome.mjs';
import {soundInputs} from './seeds.mjs';
import {targets} from './targets/index.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const foundFolder = path.join(here, 'found');

const {values: flags} = parseArgs({
  options: {
    cases: {type: 'string', default: '10000'},
    seed: {type: 'string', default: '1'},
    minutes: {type: 'string'},
    only: {type: 'string'},
    case: {type: 'string'},
    keep: {type: 'string'},
  },
});
const seed = Number(flags.seed);
let end = flags.minutes === undefined ? Infinity : Date.now() + 60_000 * Number(flags.minutes);
// Stopped early, it still counts what was done and removes its files.
for (const stop of ['SIGINT', 'SIGTERM']) process.on(stop, () => (end = 0));
const cases = flags.minutes === undefined ? Number(flags.cases) : Infinity;
const wanted = targets.filter(({name}) => flags.only === undefined || name === flags.only);
if (wanted.length === 0)
  throw new Error(`There is no target ${flags.only}. Targets: ${targets.map(({name}) => name).join(', ')}.`);

const permission = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission';
const asNode = ({folder, more = []}) => ({
  command: process.execPath,
  args: [
    '--no-warnings',
    permission,
    '--allow-fs-read=*',
    `--allow-fs-write=${folder}/*`,
    '--allow-addons',
    '--allow-worker',
    ...more,
    path.join(here, 'judge.mjs'),
  ],
});
/** Processes that judge side by side. A decoder may die or hang: pupil expects it to, and sets the picture aside. */
const lanes = [
  {name: 'readers', mayDie: false, program: folder => asNode({folder, more: ['--allow-child-process']})},
  {name: 'decoder', mayDie: true, program: folder => asNode({folder})},
  {name: 'trainer', mayDie: false, program: () => ({command: python, args: [path.join(here, 'judge.py')]})},
];

/** Growth from the first quarter of a run to its last that allocators and collectors explain. */
const isFlat = ({begin, end}) => end <= 1.5 * begin + 100e6;
/**
 * Of a process that judges, after any one case: some inputs are large, and what was read of them is not collected at
 * once.
 */
const MOST_MEMORY = 1.5e9;
const PROGRESS_MS = 60_000;
const megabytes = bytes => `${Math.round(bytes / 1e6)} MB`;

/** The seed of a case, which depends on nothing that was run before it (FNV-1a). */
const seedOf = (target, number) =>
  [...`${seed}/${target}/${number}`].reduce(
    (hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 16777619),
    2166136261,
  );

async function openLane({name, mayDie, program}, top) {
  const folder = path.join(top, name);
  const place = path.join(folder, 'case');
  for (const inside of ['home', 'tmp']) await mkdir(path.join(folder, inside), {recursive: true});
  const {command, args} = program(folder);
  const env = {
    PATH: process.env.PATH,
    HOME: path.join(folder, 'home'),
    TMPDIR: path.join(folder, 'tmp'),
    LANG: 'C.UTF-8',
    PYTHONPATH: root,
    PYTHONDONTWRITEBYTECODE: '1',
    ORT_DISABLE_TELEMETRY: '1',
  };
  const start = () => startJudge(command, args, {cwd: folder, env});
  let judge = start();
  const seen = [];

  async function once(target) {
    const outcome = await judge.ask({target, folder: place});
    if ('first' in outcome) {
      seen.push(outcome.memory);
      if (outcome.memory <= MOST_MEMORY) return outcome;
    }
    await judge.close();
    judge = start();
    return {
      first: 'first' in outcome ? {kind: 'fills the memory', detail: megabytes(outcome.memory)} : outcome,
      second: null,
    };
  }

  return {
    mayDie,
    /**
     * Both outcomes of an input, given as pairs of name and bytes; what a process died of is judged again by the next.
     */
    async judge(target, files) {
      await rm(place, {recursive: true, force: true});
      await mkdir(place);
      for (const [file, content] of files) await writeFile(path.join(place, file), content);
      const {first, second} = await once(target);
      return {first, second: second ?? (await once(target)).first};
    },
    drawInto: into => judge.ask({target: 'seeds', folder: into}),
    /** Of the median case: a large input here or there says nothing of growth. */
    memory() {
      const quarter = Math.max(1, Math.floor(seen.length / 4));
      const median = some => some.toSorted((a, b) => a - b)[Math.floor(some.length / 2)] ?? 0;
      return {
        begin: median(seen.slice(0, quarter)),
        end: median(seen.slice(-quarter)),
        most: seen.reduce((most, one) => Math.max(most, one), 0),
      };
    },
    close: () => judge.close(),
  };
}

/** What is wrong with two outcomes of one input; null where nothing is. */
function findingIn({first, second}, mayDie) {
  const tolerated = mayDie && ['died', 'hung'].includes(first.kind);
  if (findings.includes(first.kind) && !tolerated) return first;
  if (first.kind !== second.kind || (!tolerated && first.detail !== second.detail))
    return {kind: 'another verdict', detail: `${first.kind}: ${first.detail}\n${second.kind}: ${second.detail}`};
  return null;
}

const results = new Map(wanted.map(({name}) => [name, {cases: 0, kinds: new Map(), slowest: {ms: 0, number: 0}}]));
/**
 * How often each finding came, by the places in its stack, or by what it says less its numbers: one fault shows in many
 * cases.
 */
const failures = new Map();
let foundRight = 0;

function fail(target, number, {kind, detail}) {
  const places = detail.match(/^\s+(?:at|File) .*$/gm)?.join('\n') ?? detail.replace(/\d+/g, '');
  const signature = `${target} ${kind} ${places}`;
  failures.set(signature, (failures.get(signature) ?? 0) + 1);
  if (failures.get(signature) > 1) return;
  process.stdout.write(
    `${target} case ${number}: ${kind}\n${detail.replace(/^/gm, '  ')}\n  npm run fuzz -- --seed ${seed} --only ${target} --case ${number}\n`,
  );
}

async function judgeCase(lane, target, number, seeds) {
  const files = target.make(randomFrom(seedOf(target.name, number)), seeds, number === 0);
  const begun = performance.now();
  const outcome = await lane.judge(target.name, files);
  const result = results.get(target.name);
  const ms = performance.now() - begun;
  if (ms > result.slowest.ms) result.slowest = {ms, number};
  result.cases++;
  result.kinds.set(outcome.first.kind, (result.kinds.get(outcome.first.kind) ?? 0) + 1);
  const finding = findingIn(outcome, lane.mayDie);
  if (finding !== null) fail(target.name, number, finding);
  else if (number === 0 && outcome.first.kind !== 'taken')
    fail(target.name, number, {...outcome.first, kind: `a sound input is not taken: ${outcome.first.kind}`});
  return {files, outcome};
}

/** The cases that were found once, each with the verdict that is right. */
async function judgeFound(lane, names) {
  for (const name of names) {
    const folder = path.join(foundFolder, name);
    const {target, kind} = JSON.parse(await readFile(path.join(folder, 'verdict.json'), 'utf8'));
    const files = (await readdir(folder)).filter(file => file !== 'verdict.json');
    const outcome = await lane.judge(
      target,
      await Promise.all(files.map(async file => [file, await readFile(path.join(folder, file))])),
    );
    const finding = findingIn(outcome, lane.mayDie) ?? (outcome.first.kind === kind ? null : outcome.first);
    if (finding === null) foundRight++;
    else fail(target, `found/${name}`, {...finding, kind: `${finding.kind}, expected ${kind}`});
  }
}

/** Cases of its targets in turn, each as often as its share says. */
async function fuzzLane(lane, own, seeds) {
  const shares = own.reduce((sum, {share}) => sum + share, 0);
  const all = wanted.reduce((sum, {share}) => sum + share, 0);
  const limit = Math.max(own.length, Math.round((cases * shares) / all));
  const done = new Map(own.map(({name}) => [name, 0]));
  for (let number = 0; number < limit && Date.now() < end; number++) {
    // The one that lags furthest behind its share.
    const target = own.reduce((best, next) =>
      done.get(next.name) / next.share < done.get(best.name) / best.share ? next : best,
    );
    await judgeCase(lane, target, done.get(target.name), seeds);
    done.set(target.name, done.get(target.name) + 1);
  }
}

const casesSoFar = () => [...results.values()].reduce((sum, {cases}) => sum + cases, 0);

const top = await mkdtemp(path.join(os.tmpdir(), 'pupil-fuzz-'));
const begun = performance.now();
const progress = setInterval(
  () =>
    process.stderr.write(
      `${casesSoFar()} cases, ${failures.size} findings, ${Math.round((performance.now() - begun) / 1000)} s so far\n`,
    ),
  PROGRESS_MS,
);
const open = new Map();
try {
  for (const lane of lanes) open.set(lane.name, await openLane(lane, top));
  const seeds = await soundInputs(path.join(top, 'trainer', 'seeds'), folder => open.get('trainer').drawInto(folder));
  process.stdout.write(
    `seed ${seed}, ${seeds.pictures.length} pictures to damage${process.env.PUPIL_TEST_DATA ? ', with those of PUPIL_TEST_DATA' : ''}\n`,
  );
  if (flags.case !== undefined) {
    const [target] = wanted;
    const {files, outcome} = await judgeCase(open.get(target.lane), target, Number(flags.case), seeds);
    process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`);
    if (flags.keep !== undefined) {
      await mkdir(flags.keep, {recursive: true});
      for (const [file, content] of files) await writeFile(path.join(flags.keep, file), content);
      await writeFile(
        path.join(flags.keep, 'verdict.json'),
        `${JSON.stringify({target: target.name, kind: outcome.first.kind})}\n`,
      );
    }
  } else {
    const laneOf = new Map(targets.map(({name, lane}) => [name, lane]));
    const found = await readdir(foundFolder);
    const foundTargets = new Map(
      await Promise.all(
        found.map(async name => [
          name,
          JSON.parse(await readFile(path.join(foundFolder, name, 'verdict.json'), 'utf8')).target,
        ]),
      ),
    );
    await Promise.all(
      [...open].map(async ([name, lane]) => {
        if (flags.only === undefined)
          await judgeFound(
            lane,
            found.filter(one => laneOf.get(foundTargets.get(one)) === name),
          );
        await fuzzLane(
          lane,
          wanted.filter(target => target.lane === name),
          seeds,
        );
      }),
    );
    for (const [name, {cases, kinds, slowest}] of results) {
      const counted = [...kinds].sort(([, a], [, b]) => b - a).map(([kind, times]) => `${kind} ${times}`);
      process.stdout.write(
        `${name.padEnd(17)} ${String(cases).padStart(6)}  ${counted.join(', ')}; slowest: case ${slowest.number}, ${(slowest.ms / 1000).toFixed(1)} s\n`,
      );
    }
    for (const [name, lane] of open) {
      const memory = lane.memory();
      process.stdout.write(
        `memory of ${name}: ${megabytes(memory.begin)} in the first quarter, ${megabytes(memory.end)} in the last, at most ${megabytes(memory.most)}\n`,
      );
      if (!isFlat(memory)) fail(name, 'all', {kind: 'memory grows', detail: ''});
    }
    process.stdout.write(`memory of this process: ${megabytes(process.memoryUsage.rss())}\n`);
    process.stdout.write(`found before: ${foundRight} of ${found.length} as they should be\n`);
  }
  const times = [...failures.values()].reduce((sum, count) => sum + count, 0);
  process.stdout.write(
    `${casesSoFar()} cases, ${failures.size} findings${times > failures.size ? ` (in ${times} cases)` : ''}, ${Math.round((performance.now() - begun) / 1000)} s\n`,
  );
  process.exitCode = failures.size > 0 ? 1 : 0;
} finally {
  clearInterval(progress);
  for (const lane of open.values()) await lane.close();
  await rm(top, {recursive: true, force: true});
}
