// Sound inputs, from which damaged ones are made: fixtures of the tests, and files that pupil and its libraries write
// here.
import {mkdir, readdir, readFile, rm} from 'node:fs/promises';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import sharp from 'sharp';
import {writeScores} from '../../dist/images/score-file.js';
import {writePack} from '../../dist/images/pack.js';
import {listingFiles, openListing} from '../../dist/pool/listing-files.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fixtures = path.join(root, 'test', 'fixtures');

const allOf = async (folder, pattern) => {
  const names = (await readdir(folder)).filter(name => pattern.test(name)).sort();
  return await Promise.all(names.map(async name => [name, await readFile(path.join(folder, name))]));
};
const contents = files => files.map(([, content]) => content);

async function drawnPictures() {
  const noisy = Buffer.from(Array.from({length: 24 * 20 * 3}, (_, index) => (index * index * 7 + index) % 251));
  const raw = () => sharp(noisy, {raw: {width: 24, height: 20, channels: 3}});
  return await Promise.all([
    raw()
      .jpeg({progressive: true})
      .withExif({IFD0: {Artist: 'fuzz'}})
      .toBuffer(),
    raw().toColourspace('cmyk').jpeg().toBuffer(),
    raw().tiff({compression: 'lzw'}).toBuffer(),
    raw().webp({quality: 60}).toBuffer(),
    raw().avif({effort: 0}).toBuffer(),
  ]);
}

async function drawnScores(file) {
  const images = Array.from({length: 6}, (_, index) => String(index).repeat(24));
  const column = Type =>
    [0, 1].map(rank =>
      Type.from(images, (_, index) => (Type === Int32Array ? (index + rank) % 3 : -0.1 * (rank + 1) - index)),
    );
  await writeScores(
    file,
    {
      images,
      classes: column(Int32Array),
      logProbs: column(Float32Array),
      metadata: {classes: ['ant', 'bee', 'cat'], shard: 0, fingerprint: 'fuzz'},
    },
    images.map(id => `/pool/${id}.png`),
  );
  return await readFile(file);
}

async function drawnListing(folder) {
  const writer = openListing(folder);
  for (let row = 0; row < 20; row++) {
    const inTar = {member: `${row}.png`, offset: row * 512, length: 77, encoding: 'encoded', label: 'ant'};
    const record = {member: String(row), offset: row * 3074, length: 3072, encoding: 'cifar', label: null};
    const entry = row < 10 ? {file: `a/${row % 3}.tar`, ...inTar} : {file: 'train.bin', ...record};
    writer.add(entry, Uint32Array.of(row, row * 7, 2 ** 31 + row), 0, BigInt(row));
  }
  const {chunks} = await writer.close();
  return await readFile(listingFiles(folder, chunks.length)[0]);
}

async function drawnPack(folder) {
  async function* rows() {
    for (let row = 0; row < 4; row++) {
      yield {
        id: String(row).repeat(24),
        pixels: new Uint8Array(4 * 4 * 3).fill(row * 50),
        labels: [row],
        answers: {classes: [row, 5], logProbs: [-0.5, -1]},
      };
    }
  }
  await writePack(folder, {size: 4, classes: ['ant', 'bee', 'cat', 'dog', 'elk', 'fox'], kept: 2}, rows());
  return await allOf(folder, /./);
}

/** Messages as the protocol's fixtures hold them, and lines that the image worker reads. */
async function allMessages() {
  const written = contents(await allOf(path.join(fixtures, 'protocol'), /\.json$/)).map(content =>
    JSON.parse(content.toString()),
  );
  const place = {file: '/p/a.png', offset: 3074, length: 3072, encoding: 'cifar'};
  const image = {id: '0'.repeat(24), place: '/p/a.png', ...place};
  return [
    ...written.filter(({valid}) => valid).map(({side, message}) => ({side, message})),
    {side: 'item', message: {...image, labels: [0, 2], answers: {classes: [2, 0], log_probs: [-0.5, -1]}}},
    {side: 'shard', message: {shard: 3, output: '/s/shard-00003.parquet', images: [image, image]}},
    {side: 'picture', message: {image: 'a.png', file: '/p/a.png'}},
  ];
}

/** All of them; `draw` has the trainer's side write its own into a folder. */
export async function soundInputs(folder, draw) {
  await mkdir(folder, {recursive: true});
  await draw(folder);
  const drawn = name => readFile(path.join(folder, name));
  const photographs = contents(await allOf(path.join(fixtures, 'decode'), /\.(png|jpg|gif|webp)$/));
  const odd = process.env.PUPIL_TEST_DATA ? path.join(process.env.PUPIL_TEST_DATA, 'nasty') : null;
  const seeds = {
    picture: await readFile(path.join(fixtures, 'decode', 'enlarged.png')),
    pictures: [...photographs, ...(await drawnPictures()), ...(odd === null ? [] : contents(await allOf(odd, /./)))],
    networks: [await drawn('linear.onnx'), ...contents(await allOf(path.join(fixtures, 'onnx'), /\.onnx$/))],
    configs: contents(await allOf(path.join(root, 'presets'), /\.yaml$/)).map(String),
    experiments: contents(await allOf(path.join(root, 'experiments'), /\.yaml$/)).map(String),
    messages: await allMessages(),
    scores: await drawnScores(path.join(folder, 'scores.parquet')),
    listing: await drawnListing(path.join(folder, 'listing')),
    pack: await drawnPack(path.join(folder, 'pack')),
    checkpoints: [await drawn('plain.pt'), await drawn('wrapped.pt')],
    state: await drawn('state.pt'),
    safetensors: await drawn('plain.safetensors'),
  };
  await rm(folder, {recursive: true});
  return seeds;
}
