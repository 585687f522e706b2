// Measures the selection at the paper's scale, beside numpy: npm run bench:select -- [--images N] [--json]
//
// Score files of a simulated pool are written by the real writer into a temporary folder (1.6 GB for 10 million images,
// and twice 1 GB for the rankings), and go when it ends. Then, each in a process of its own:
//     pupil       reads and selects all (1,000 classes, P = 10, K = 16,000), writes the rankings, and lists classes
//     both        pupil, and numpy with pyarrow (peers/select_numpy.py), select a tenth of K from a tenth of the files
import {spawn} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {python, root} from '../scripts/setup/places.mjs';
import {writePool} from './select-pool.mjs';

const CLASSES = 1000;
const TOP_P = 10;
const TOP_K = 16_000;
const PAPER_POOL = 1e9;
/** What is to be reached. */
const LIMITS = {selectingUs: 8, placesMb: 300, imagesPerSecond: 1e6, rowsSeconds: 30, lookMs: 10};

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort(signal));
const say = text => {
  if (process.stderr.isTTY) process.stderr.write(`\r${text.padEnd(78)}\r`);
};
const number = (value, digits = 0) =>
  value.toLocaleString('en-US', {minimumFractionDigits: digits, maximumFractionDigits: digits});

/** Runs a program on a job to its end; resolves with the JSON that it printed and the seconds that it ran. */
function measure(command, args, folder, job) {
  const file = path.join(folder, 'job.json');
  writeFileSync(file, JSON.stringify(job));
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args, file], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
      signal: stop.signal,
    });
    let output = '';
    child.stdout.on('data', data => (output += data));
    child.on('error', reject);
    child.on('close', code => {
      if (code === 0) resolve({...JSON.parse(output), ranSeconds: (performance.now() - begun) / 1e3});
      else reject(new Error(`${command} ${args.join(' ')} ended with exit code ${code}`));
    });
  });
}

const hasPyarrow = () =>
  new Promise(resolve =>
    spawn(python, ['-c', 'import numpy, pyarrow.dataset'], {stdio: 'ignore'})
      .on('error', () => resolve(false))
      .on('close', code => resolve(code === 0)),
  );

const selectOurs = [process.execPath, [fileURLToPath(new URL('select-ours.mjs', import.meta.url))]];

/** The same selection by both; null without pyarrow. */
async function besidePeer(folder, files) {
  if (!(await hasPyarrow())) {
    process.stderr.write(
      `numpy is not measured: ${python} has no pyarrow. To mend it: ${python} -m pip install -r trainer/requirements-tests.txt\n`,
    );
    return null;
  }
  const job = {
    files: files.slice(0, Math.ceil(files.length / 10)),
    classes: CLASSES,
    topP: TOP_P,
    topK: TOP_K / 10,
    home: null,
  };
  say('a tenth of it, pupil ...');
  const pupil = await measure(...selectOurs, folder, job);
  say('a tenth of it, numpy ...');
  const numpy = await measure(python, ['-m', 'bench.peers.select_numpy'], folder, job);
  if (pupil.digest !== numpy.digest) throw new Error('pupil and numpy selected different images');
  return {pupil, numpy};
}

function printTable(images, {ours, peer}) {
  const reached = (value, limit, least = false) => ((least ? value >= limit : value <= limit) ? 'reached' : 'missed');
  const rows = [
    [
      'selecting, us an image',
      number(ours.selectingUs, 2),
      `<= ${LIMITS.selectingUs}`,
      reached(ours.selectingUs, LIMITS.selectingUs),
    ],
    [
      'places of the candidates, MB',
      number(ours.placesMb),
      `<= ${LIMITS.placesMb}`,
      reached(ours.placesMb, LIMITS.placesMb),
    ],
    ['most memory resident while selecting, MB', number(ours.peakMb), '', ''],
    [
      'reading and selecting, images/s by the clock',
      number(ours.imagesPerSecond),
      `>= ${number(LIMITS.imagesPerSecond)}`,
      reached(ours.imagesPerSecond, LIMITS.imagesPerSecond, true),
    ],
    ['    a CPU second', number(ours.imagesPerCpuSecond), '', ''],
    [
      `writing ${number(ours.rows)} ranking rows, s`,
      number(ours.rowsSeconds, 1),
      `<= ${LIMITS.rowsSeconds}`,
      reached(ours.rowsSeconds, LIMITS.rowsSeconds),
    ],
    ['    s of CPU', number(ours.rowsCpuSeconds, 1), '', ''],
    ['    rows/s', number(ours.rows / ours.rowsSeconds), '', ''],
    ['    database, MB', number(ours.databaseMb), '', ''],
    [
      'pupil rankings CLASS -n 50, ms of CPU inside the process',
      number(ours.lookMs, 1),
      `<= ${LIMITS.lookMs}`,
      reached(ours.lookMs, LIMITS.lookMs),
    ],
    [`${number(PAPER_POOL)} images at this rate, minutes of CPU`, number(ours.paperPoolCpuSeconds / 60), '', ''],
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)));
  console.log(`${number(images)} images, ${number(CLASSES)} classes, P = ${TOP_P}, K = ${number(TOP_K)}\n`);
  for (const row of rows)
    console.log(
      row
        .map((cell, column) =>
          column === 1 || column === 2 ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
        )
        .join('   ')
        .trimEnd(),
    );
  if (peer === null) return;
  console.log('\na tenth of it, the same selection      seconds   s of CPU   most MB');
  for (const [name, one] of [
    ['pupil', peer.pupil],
    ['numpy and pyarrow', peer.numpy],
  ]) {
    console.log(
      `${name.padEnd(36)} ${number(one.ranSeconds, 1).padStart(9)} ${number(one.cpuSeconds, 1).padStart(10)} ${number(one.peakMb).padStart(9)}`,
    );
  }
  console.log(
    `${'numpy / pupil'.padEnd(36)} ${number(peer.ratios.seconds, 2).padStart(9)} ${number(peer.ratios.cpuSeconds, 2).padStart(10)} ${number(peer.ratios.peakMb, 2).padStart(9)}`,
  );
}

function readOptions() {
  const {values} = parseArgs({
    options: {images: {type: 'string', default: '10000000'}, json: {type: 'boolean', default: false}},
  });
  const images = Number(values.images);
  if (!Number.isInteger(images) || images < 1)
    throw new Error(`--images must be a whole number above 0, found ${values.images}`);
  return {images, json: values.json};
}

async function main({images, json}) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'pupil-bench-'));
  try {
    const machine = `${os.cpus()[0]?.model ?? process.arch}, ${os.cpus().length} CPU cores`;
    process.stderr.write(
      `${machine}, load ${os.loadavg()[0].toFixed(1)} at the start, Node ${process.versions.node}\n`,
    );
    process.stderr.write(
      `up to ${number((images * 160) / 1e9 + (2 * Math.min(images * TOP_P, CLASSES * TOP_K) * 61) / 1e9, 1)} GB in ${folder}, removed at the end\n\n`,
    );
    const files = await writePool(folder, {images, classes: CLASSES, kept: TOP_P}, stop.signal, done =>
      say(`writing score files: ${number(done)} of ${number(images)} images ...`),
    );
    say('reading, selecting and writing the rankings ...');
    const measured = await measure(...selectOurs, folder, {
      files,
      classes: CLASSES,
      topP: TOP_P,
      topK: TOP_K,
      home: folder,
    });
    const {secondsSelecting, seconds, cpuSeconds, ...figures} = measured;
    const ours = {
      ...figures,
      selectingUs: (secondsSelecting / images) * 1e6,
      imagesPerSecond: images / seconds,
      imagesPerCpuSecond: images / cpuSeconds,
      paperPoolCpuSeconds: (cpuSeconds / images) * PAPER_POOL,
    };
    const both = await besidePeer(folder, files);
    const ratio = key => both.numpy[key] / both.pupil[key];
    const peer = both && {
      ...both,
      ratios: {seconds: ratio('ranSeconds'), cpuSeconds: ratio('cpuSeconds'), peakMb: ratio('peakMb')},
    };
    say('');
    if (json) console.log(JSON.stringify({machine, images, ours, peer}));
    else printTable(images, {ours, peer});
  } finally {
    rmSync(folder, {recursive: true, force: true});
  }
}

let options;
try {
  options = readOptions();
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(2);
}
try {
  await main(options);
} catch (error) {
  if (stop.signal.aborted) process.exitCode = stop.signal.reason === 'SIGINT' ? 130 : 143;
  else {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
