// Cuts small data sets out of CIFAR-100, for the experiments on small data: so many of its classes, 25 labelled
// pictures of each, and a pool of the same classes.
//   node experiments/cut-cifar100.mjs data CLASSES POOL SEED [CLASSES POOL SEED ...]
// reads data/cifar-100-binary, and writes data/cifar100-cut/CLASSES-POOL-SEED/{labelled,pool,test}; the test pictures
// are all of those classes.
import {createHash} from 'node:crypto';
import {mkdirSync, readFileSync, rmSync} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import sharp from 'sharp';

const LABELLED_PER_CLASS = 25;
const SIDE = 32;
const PLANE = SIDE * SIDE;
/** A coarse and a fine label, then three planes. */
const RECORD = 2 + 3 * PLANE;

const [data, ...cuts] = process.argv.slice(2);
if (data === undefined || cuts.length === 0 || cuts.length % 3 !== 0) {
  process.stderr.write('usage: node experiments/cut-cifar100.mjs data CLASSES POOL SEED [CLASSES POOL SEED ...]\n');
  process.exit(2);
}
const names = readFileSync(path.join(data, 'cifar-100-binary', 'fine_label_names.txt'), 'utf8')
  .trim()
  .split('\n');
const [train, test] = ['train', 'test'].map(split => readFileSync(path.join(data, 'cifar-100-binary', `${split}.bin`)));

/** A list in an order that only its items and the seed decide. */
const shuffled = (items, ...seed) =>
  items
    .map(item => ({
      item,
      key: createHash('sha256')
        .update([...seed, item].join(' '))
        .digest('hex'),
    }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({item}) => item);

const recordsOf = (file, label) =>
  Array.from({length: file.length / RECORD}, (_, record) => record).filter(
    record => file[record * RECORD + 1] === label,
  );

async function write(file, record, target) {
  const planes = file.subarray(record * RECORD + 2, (record + 1) * RECORD);
  const pixels = Buffer.from(
    Uint8Array.from({length: 3 * PLANE}, (_, at) => planes[(at % 3) * PLANE + Math.floor(at / 3)]),
  );
  await sharp(pixels, {raw: {width: SIDE, height: SIDE, channels: 3}})
    .png()
    .toFile(target);
}

for (let at = 0; at < cuts.length; at += 3) {
  const [classes, pool, seed] = cuts.slice(at, at + 3).map(Number);
  const folder = path.join(data, 'cifar100-cut', `${classes}-${pool}-${seed}`);
  rmSync(folder, {recursive: true, force: true});
  mkdirSync(path.join(folder, 'pool'), {recursive: true});
  const unlabelled = [];
  for (const label of shuffled(
    names.map((_, label) => label),
    'classes',
    seed,
  ).slice(0, classes)) {
    for (const set of ['labelled', 'test']) mkdirSync(path.join(folder, set, names[label]), {recursive: true});
    const drawn = shuffled(recordsOf(train, label), 'pictures', seed);
    for (const record of drawn.slice(0, LABELLED_PER_CLASS))
      await write(train, record, path.join(folder, 'labelled', names[label], `${record}.png`));
    unlabelled.push(...drawn.slice(LABELLED_PER_CLASS));
    for (const record of recordsOf(test, label))
      await write(test, record, path.join(folder, 'test', names[label], `${record}.png`));
  }
  for (const record of shuffled(unlabelled, 'pool', seed).slice(0, pool))
    await write(train, record, path.join(folder, 'pool', `${record}.png`));
  process.stdout.write(`${folder}\n`);
}
