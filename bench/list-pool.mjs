// Measures how a pool is listed, beside what nobody can do without: npm run bench:pool -- [--records N] [--files N] [--json]
//
// Into a temporary folder, which goes when it ends, come CIFAR records (10 million: 31 GB) and small files (a million).
// Then pupil itself, in a new process each time, as people start it:
//     records     lists a hundredth of the records, and all of them (orchestrate --until prepare);
//                 beside it Python's hashlib hashes all of them on all cores (peers/hash_records.py)
//     files       lists the files, looks again at the same ones (status), and lists them with 1,000 new among them;
//                 beside it `find` tells name, size and times of all of them
import {spawn} from 'node:child_process';
import {randomFillSync} from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import {parseArgs} from 'node:util';
import sharp from 'sharp';
import {python, root} from '../scripts/setup/places.mjs';

const RECORD_BYTES = 3074;
const RECORDS_AT_ONCE = 4096;
const FILES_A_FOLDER = 1000;
const NEW_FILES = 1000;
/** What is to be reached. */
const LIMITS = {microseconds: 8, bytes: 40, moreMb: 64, lookSeconds: 5};
const LOOK_MS = 100;

const {values} = parseArgs({
  options: {
    records: {type: 'string', default: '10000000'},
    files: {type: 'string', default: '1000000'},
    json: {type: 'boolean', default: false},
  },
});
const say = text => process.stderr.write(`${text}\n`);

/** The memory that a process and all that it started hold resident; pages that they share count once. */
function residentBytes(pid) {
  try {
    const own = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
    const children = readdirSync(`/proc/${pid}/task`).flatMap(task =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
    );
    return Number(own?.[1] ?? 0) * 1024 + children.reduce((sum, child) => sum + residentBytes(child), 0);
  } catch {
    return 0; // It ended meanwhile.
  }
}

/** Runs a program to its end; resolves with its output, the seconds, and the most memory of it and all it started. */
function measured(command, args) {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {cwd: root});
    let [output, errors, most] = ['', '', 0];
    const look = setInterval(() => (most = Math.max(most, residentBytes(child.pid))), LOOK_MS);
    child.stdout.on('data', data => (output += data));
    child.stderr.on('data', data => (errors += data));
    child.on('error', reject);
    child.on('close', code => {
      clearInterval(look);
      if (code === 0) resolve({output, seconds: (performance.now() - begun) / 1e3, mb: most / 1e6});
      else reject(new Error(`${command} ${args.join(' ')} ended with exit code ${code}:\n${errors}`));
    });
  });
}

const pupil = (...args) => measured(process.execPath, ['dist/main.js', ...args]);

function sizeOf(file) {
  const found = statSync(file);
  return found.isDirectory()
    ? readdirSync(file).reduce((sum, name) => sum + sizeOf(path.join(file, name)), 0)
    : found.size;
}

/** A CIFAR file of records that all differ. */
function writeRecords(folder, records) {
  mkdirSync(folder, {recursive: true});
  const lot = Buffer.alloc(RECORD_BYTES * RECORDS_AT_ONCE);
  randomFillSync(lot);
  const file = openSync(path.join(folder, 'train.bin'), 'w');
  for (let first = 0; first < records; first += RECORDS_AT_ONCE) {
    const count = Math.min(RECORDS_AT_ONCE, records - first);
    for (let record = 0; record < count; record++) {
      lot.writeUInt16LE(0, record * RECORD_BYTES);
      lot.writeUInt32LE(first + record, record * RECORD_BYTES + 2);
    }
    for (let at = 0; at < count * RECORD_BYTES;) at += writeSync(file, lot, at, count * RECORD_BYTES - at);
  }
  closeSync(file);
}

/** Small files from number `first` on, spread over so many folders. They are hashed, and never opened as pictures. */
function writeFiles(folder, folders, first, files) {
  for (let number = first; number < first + files; number++) {
    const within = path.join(folder, String(number % folders).padStart(6, '0'));
    if (!existsSync(within)) mkdirSync(within, {recursive: true});
    writeFileSync(path.join(within, `${number}.jpg`), `picture ${number}`);
  }
}

/** Two classes of ten pictures each. */
async function writeLabelled(folder) {
  for (const [index, name] of ['dark', 'light'].entries()) {
    mkdirSync(path.join(folder, name), {recursive: true});
    for (let number = 0; number < 10; number++)
      await sharp({create: {width: 32, height: 32, channels: 3, background: {r: index * 200, g: number, b: 0}}})
        .png()
        .toFile(path.join(folder, name, `${number}.png`));
  }
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'pupil-bench-'));
process.once('exit', () => rmSync(folder, {recursive: true, force: true}));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
const at = (...names) => path.join(folder, ...names);
await writeLabelled(at('labelled'));

/** Lists a pool in a home of this name; what it took, and what it left. */
async function listed(home, pool) {
  const args = ['--home', at(home), '--run', 'bench', '--labelled', at('labelled'), '--unlabelled', pool];
  const took = await pupil('orchestrate', ...args, '--until', 'prepare');
  return {...took, diskBytes: sizeOf(at(home, 'data/bench/index')), databaseBytes: sizeOf(at(home, 'db/bench.sqlite'))};
}

const [records, files] = [Number(values.records), Number(values.files)];
const few = Math.ceil(records / 100);
const rows = [];
if (records > 0) {
  say(`writing ${records.toLocaleString('en-US')} records ...`);
  writeRecords(at('few'), few);
  writeRecords(at('many'), records);
  const small = await listed('home-few', `cifar100:${at('few')}?split=train`);
  say('listing all of them ...');
  const large = await listed('home-many', `cifar100:${at('many')}?split=train`);
  say('hashing all of them with hashlib ...');
  const peer = JSON.parse((await measured(python, ['-m', 'bench.peers.hash_records', at('many', 'train.bin')])).output);
  rmSync(at('many'), {recursive: true});
  rows.push(
    ['listing records, us an image', (large.seconds / records) * 1e6, LIMITS.microseconds],
    ['    hashlib alone, all cores', (peer.seconds / records) * 1e6, null],
    ['    hashlib / pupil', peer.seconds / large.seconds, null],
    ['disk, bytes an image', large.diskBytes / records, LIMITS.bytes],
    [`resident beyond that of ${few.toLocaleString('en-US')}, MB`, large.mb - small.mb, LIMITS.moreMb],
    ['    resident, MB', large.mb, null],
    ['SQLite, KB', large.databaseBytes / 1e3, null],
    [`    of ${few.toLocaleString('en-US')}, KB`, small.databaseBytes / 1e3, null],
  );
}
if (files > 0) {
  say(`writing ${files.toLocaleString('en-US')} files ...`);
  const folders = Math.ceil(files / FILES_A_FOLDER);
  writeFiles(at('files'), folders, 0, files);
  const first = await listed('home-files', at('files'));
  say('looking again ...');
  const again = await pupil('status', '--home', at('home-files'), '--run', 'bench', '--json');
  const find = await measured('find', [at('files'), '-type', 'f', '-printf', '%s %T@ %C@\n']);
  writeFiles(at('files'), folders, files, NEW_FILES);
  const grown = await listed('home-files', at('files'));
  rows.push(
    ['listing files, us a file', (first.seconds / files) * 1e6, null],
    ['looking again at the same, s', again.seconds, LIMITS.lookSeconds],
    ['    find with sizes and times, s', find.seconds, null],
    ['    find / pupil', find.seconds / again.seconds, null],
    [`listing them with ${NEW_FILES.toLocaleString('en-US')} new ones, s`, grown.seconds, null],
    ['    disk, bytes a file', grown.diskBytes / (files + NEW_FILES), null],
    ['    resident, MB', grown.mb, null],
  );
}
if (values.json)
  console.log(
    JSON.stringify({records, files, figures: Object.fromEntries(rows.map(([name, value]) => [name.trim(), value]))}),
  );
else {
  console.log(
    `${os.cpus()[0]?.model.trim()}, ${os.availableParallelism()} cores; ${records.toLocaleString('en-US')} records, ${files.toLocaleString('en-US')} files\n`,
  );
  for (const [name, value, limit] of rows)
    console.log(
      `${name.padEnd(52)} ${value.toFixed(value < 100 ? 2 : 0).padStart(10)}   ${limit === null ? '' : `<= ${limit}   ${value <= limit ? 'reached' : 'missed'}`}`.trimEnd(),
    );
}
