// npm run torture -- [--minutes N] [--kills N] [--seed S] Kills, stops and damages small real runs of pupil, in as many
// lanes as there are cores, and prints what became of them. Exit code 1 where a run came to anything else than an
// uninterrupted one.
import {fork} from 'node:child_process';
import os from 'node:os';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';

const lane = fileURLToPath(new URL('lane.mjs', import.meta.url));
/** A lane keeps a core busy, and some GB of memory. */
const MOST_LANES = 8;
/** Each lane begins with an uninterrupted run, which is to be worth its while. */
const LEAST_KILLS = 4;

const {values} = parseArgs({
  options: {minutes: {type: 'string'}, kills: {type: 'string'}, seed: {type: 'string', default: '0'}},
});
const kills = values.kills === undefined ? null : Number(values.kills);
const minutes = values.minutes === undefined ? (kills === null ? 20 : null) : Number(values.minutes);
const lanes = Math.min(MOST_LANES, os.availableParallelism(), Math.ceil((kills ?? Infinity) / LEAST_KILLS));

/** Resolves with what a lane came to. */
const run = number =>
  new Promise((resolve, reject) => {
    const child = fork(lane, [
      JSON.stringify({
        minutes,
        kills: kills === null ? null : Math.ceil(kills / lanes),
        seed: 1000 * Number(values.seed) + number,
        isFirst: number === 0,
      }),
    ]);
    let result = null;
    child.on('message', message => (result = message));
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      result === null ? reject(new Error(`lane ${number} ended with ${signal ?? code}`)) : resolve(result),
    );
  });

// It goes to the lanes, too, which remove what they made.
process.on('SIGINT', () => {});
const results = await Promise.all(Array.from({length: lanes}, (_, number) => run(number)));

const sum = of => results.reduce((total, result) => total + of(result), 0);
const count = name => sum(({counts}) => counts[name]);
const [orchestrator, worker, trainer] = ['orchestrator', 'worker', 'trainer'].map(kind =>
  sum(({counts}) => counts.kills[kind]),
);
const pointsHit = new Set(results.flatMap(({points}) => points.hit));
process.stdout.write(
  `${orchestrator + worker + trainer} kills (orchestrator ${orchestrator}, worker ${worker}, trainer ${trainer}), ${count('atPoints')} of them at ${pointsHit.size} of ${results[0].points.all} named points; ` +
    `${count('stops')} stops, ${count('disks')} full disks, ${count('damages')} damages, ${count('clocks')} clocks set back; ${count('missed')} blows came too late.\n`,
);
process.stdout.write(
  `${sum(({differences}) => differences)} differences in ${count('episodes')} runs that were brought to their end.\n`,
);
process.stdout.write(
  `${Math.round(sum(({secondsSpent}) => secondsSpent))} s in ${count('runs')} starts, ${lanes} at a time; ${Math.round(sum(({secondsLost}) => secondsLost))} s lost by starting again and by work done twice.\n`,
);
process.exitCode = sum(({differences}) => differences) > 0 ? 1 : 0;
