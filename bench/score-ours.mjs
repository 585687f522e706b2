// Starts one of pupil's own contenders in bench:score, with the environment that the pipeline gives its image worker.
//   node bench/score-ours.mjs pupil|pupil_odd|decode|model JOB.json      a line of JSON with the images done so far, again and again, without end
//   node bench/score-ours.mjs layout JOB.json                            how a trial shares the machine out, as one line of JSON
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {readFile} from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import {fileURLToPath} from 'node:url';
import {runChild} from '../dist/children/child.js';
import {fromWire, PROTOCOL, toWire} from '../dist/children/protocol.js';
import {workerCommand} from '../dist/children/worker.js';
import {decodingOf, handlingOf} from '../dist/stages/context.js';
import {defaultLayout, searchedParts} from '../dist/stages/scoring-layout.js';
import {configSchema} from '../dist/config/schema.js';

const [what, file] = process.argv.slice(2);
const job = fromWire(await readFile(file, 'utf8'));
const command = workerCommand({threads: job.threads, device: job.device, python: job.python});

/** The pool, with odd files at equal distances in it where they are wanted. */
function pool() {
  if (what !== 'pupil_odd') return job.images;
  const between = job.images.length / job.odd.length;
  return job.odd.flatMap((odd, i) => [
    ...job.images.slice(Math.round(i * between), Math.round((i + 1) * between)),
    odd,
  ]);
}

const config = configSchema.parse({labelled: '.', unlabelled: '.'});
const never = new AbortController().signal;
const precautions = {inHand: path.join(job.folder, 'in-hand.json'), culprits: []};
const run = async (task, onEvent, lines) =>
  runChild(command, task, {attempt: job.folder, stop: {requested: never, forced: never}, onEvent, lines});

/** The `trial` task as src/stages/scoring-layout.ts gives it for a pool of any length. */
async function layout() {
  const {model, device, images, threads, size, resize} = job;
  const context = {handling: handlingOf(config), device, threads, scorers: [device]};
  const decoding = decodingOf({config, size, resize});
  const task = {
    protocol: PROTOCOL,
    task: 'trial',
    model,
    device,
    decoding,
    precautions,
    layout: defaultLayout(context),
    searched: searchedParts(context),
    images: 1e12,
  };
  const found = await run(task, () => {}, [{shard: 0, output: '-', images}]);
  console.log(toWire(found.layout));
}

/** Shards of the pool without end; the first is short, to warm up. */
function* shards(images) {
  for (let shard = 0, from = 0; ; shard++) {
    const count = shard === 0 ? job.warmUpBatches * job.batchSize : images.length;
    // A few names, so that files do not pile up.
    const output = path.join(job.folder, 'scores', `shard-${shard % 4}.parquet`);
    yield {shard, output, images: Array.from({length: count}, (_, i) => images[(from + i) % images.length])};
    from += count;
  }
}

/** The `score` task as src/stages/score.ts gives it, with the limits that are pupil's defaults. */
async function pupil() {
  const {model, device, kept, classes, layout, size, resize} = job;
  const decoding = decodingOf({config, size, resize});
  const task = {
    protocol: PROTOCOL,
    task: 'score',
    model,
    device,
    images: 0,
    layout,
    kept,
    classes,
    decoding,
    precautions,
    fingerprint: 'bench',
  };
  let images = 0;
  const onEvent = event => {
    if (event.type !== 'shard') return;
    images += event.rows;
    console.log(JSON.stringify({images}));
  };
  await run(task, onEvent, shards(pool()));
}

/** The worker's own modules, in a process like the worker. */
async function part() {
  const script = fileURLToPath(new URL('score-part.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, what, file], {
    env: {...process.env, ...command.env},
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  process.exitCode = code ?? 1;
}

await (what === 'layout' ? layout() : what.startsWith('pupil') ? pupil() : part());
