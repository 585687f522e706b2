// Selects from the score files of a job as pupil does, and tells what that took.
//   node bench/select-ours.mjs JOB.json      a line of JSON on stdout
import {createHash} from 'node:crypto';
import {readFileSync, statSync} from 'node:fs';
import process from 'node:process';
import {openRun} from '../dist/queries/open-run.js';
import {rankingsText} from '../dist/commands/rankings.js';
import {configSchema} from '../dist/config/schema.js';
import {runPaths} from '../dist/home.js';
import {readAllScores} from '../dist/images/score-reader.js';
import {idAt, idBytes} from '../dist/ranking/image-ids.js';
import {Selection} from '../dist/ranking/select.js';
import {record} from '../dist/stages/select.js';
import {openStore} from '../dist/store/open.js';

const LISTED = 50;
const LOOKS = 25;

const {files, classes: classCount, topP, topK, home} = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const classes = Array.from({length: classCount}, (_, index) => `class ${index}`);

/** CPU seconds of this process so far, all its threads together. */
function cpuSeconds() {
  const {user, system} = process.cpuUsage();
  return (user + system) / 1e6;
}
const peakMb = () => process.resourceUsage().maxRSS / 1e3;

/** From the start of the process, as whoever waits for it sees it. */
async function select() {
  const before = process.memoryUsage().arrayBuffers;
  const selection = new Selection(classCount, topP, topK);
  const placesMb = (process.memoryUsage().arrayBuffers - before) / 1e6;
  let secondsSelecting = 0;
  for await (const scores of readAllScores(files, topP, new AbortController().signal)) {
    const begun = performance.now();
    selection.add(scores);
    secondsSelecting += (performance.now() - begun) / 1e3;
  }
  const {images} = selection;
  return {
    selection,
    images,
    placesMb,
    secondsSelecting,
    seconds: performance.now() / 1e3,
    cpuSeconds: cpuSeconds(),
    peakMb: peakMb(),
  };
}

/** The rows of all classes, with the index, on the disk. */
function write(selection) {
  const {database} = runPaths(home, 'bench');
  const store = openStore(database);
  try {
    store.atomically(() => {
      store.images.setClasses(classes);
      store.run.take('bench', {pid: process.pid, host: '', since: ''});
      store.run.setConfig(JSON.stringify(configSchema.parse({labelled: home, unlabelled: home})));
      // Of the pool only those that will be listed: its millions would take longer to write than the rankings.
      const spec = {kind: 'folder', path: '/pool', split: null};
      const source = store.images.addSource('unlabelled', spec, '/pool', 'pool');
      for (let index = 0; index < classCount; index++) {
        const {ids, scores} = selection.ranking(index).ranked;
        for (let row = 0; row < Math.min(LISTED, scores.length); row++) {
          const id = idAt(ids, row);
          store.chosen.add({
            source,
            id,
            file: `${id}.jpg`,
            member: null,
            offset: null,
            length: null,
            encoding: 'encoded',
            label: null,
          });
        }
      }
    });
    const cpuBegun = cpuSeconds();
    const begun = performance.now();
    const {selected: rows} = record({store}, classes, topK, selection);
    return {rows, rowsSeconds: (performance.now() - begun) / 1e3, rowsCpuSeconds: cpuSeconds() - cpuBegun};
  } finally {
    store.close();
  }
}

/**
 * What `pupil rankings CLASS -n 50` takes from the open run to its text: the median of several classes, each for the
 * first time.
 */
function look() {
  const run = openRun({home});
  try {
    const times = Array.from({length: Math.min(LOOKS, classCount)}, (_, turn) => {
      const begun = cpuSeconds();
      rankingsText(
        run,
        {topK},
        {
          home,
          class: classes[Math.floor((turn * classCount) / LOOKS)],
          limit: LISTED,
          offset: 0,
          csv: false,
          json: true,
        },
      );
      return (cpuSeconds() - begun) * 1e3;
    });
    return {lookMs: times.sort((a, b) => a - b)[times.length >> 1]};
  } finally {
    run.store.close();
  }
}

/** Who else selects from the same files must come to the same. */
function digestOf(selection) {
  const hash = createHash('sha256');
  for (let index = 0; index < classCount; index++) hash.update(idBytes(selection.ranking(index).ranked.ids));
  return hash.digest('hex');
}

const {selection, ...selected} = await select();
if (home === null) {
  console.log(JSON.stringify({digest: digestOf(selection), cpuSeconds: cpuSeconds(), peakMb: peakMb()}));
} else {
  const written = write(selection);
  console.log(
    JSON.stringify({
      ...selected,
      ...written,
      ...look(),
      databaseMb: statSync(runPaths(home, 'bench').database).size / 1e6,
    }),
  );
}
