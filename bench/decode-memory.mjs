// Decodes damaged copies of real pictures and prints the memory that the process holds: npm run bench:decode-memory --
// --images DIR [--count N] [--threads N] What decodes runs in a process of its own, with the environment that the
// pipeline gives its image worker.
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {workerCommand} from '../dist/children/worker.js';
import {configSchema} from '../dist/config/schema.js';
import {decodingOf} from '../dist/stages/context.js';
import {openDecoder} from '../dist/worker/decoder.js';

const EVERY = 1000;
const MOST_BYTES = 2_000_000;

const {values} = parseArgs({
  options: {
    images: {type: 'string'},
    count: {type: 'string', default: '100000'},
    threads: {type: 'string', default: '4'},
    inside: {type: 'boolean', default: false},
  },
});
if (values.images === undefined) throw new Error('Expected --images DIR, a folder of pictures.');
const [count, threads] = [Number(values.count), Number(values.threads)];

/** Starts this program again, as an image worker would be. */
async function outside() {
  const {env} = workerCommand({threads, device: 'cpu', python: null});
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...process.argv.slice(2), '--inside'], {
    env: {...process.env, ...env},
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  process.exitCode = code ?? 1;
}

/** The same numbers each time. */
let seed = 1;
const random = below => (seed = (seed * 48271) % 2147483647) % below;

/** A copy with some bytes changed, every tenth cut short. */
function damaged(original) {
  const bytes = Buffer.from(original);
  for (let change = random(8); change >= 0; change--) bytes[random(bytes.length)] = random(256);
  return random(10) === 0 ? bytes.subarray(0, 1 + random(bytes.length)) : bytes;
}

async function inside() {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'pupil-bench-'));
  const originals = readdirSync(values.images, {withFileTypes: true, recursive: true})
    .filter(entry => entry.isFile())
    .map(entry => readFileSync(path.join(entry.parentPath, entry.name)))
    .filter(({length}) => length > 0 && length <= MOST_BYTES);
  const decoding = decodingOf({config: configSchema.parse({labelled: '.', unlabelled: '.'}), size: 224, resize: 256});
  const precautions = {inHand: path.join(folder, 'in-hand.json'), culprits: []};
  const decoder = openDecoder({decoding, threads, precautions, signal: new AbortController().signal}, {decoding: 0});
  const begun = performance.now();
  let [next, done, setAside] = [0, 0, 0];
  const decode = async (file, bytes) =>
    await decoder.decode({id: null, file, offset: null, length: null, encoding: 'encoded'}, bytes);
  const work = async () => {
    while (next < count) {
      const number = next++;
      const bytes = damaged(originals[number % originals.length]);
      const {problem} = await decode(String(number), bytes);
      if (problem !== null) setAside++;
      if (++done % EVERY === 0)
        console.log(
          `${done} pictures, ${setAside} set aside, ${Math.round((performance.now() - begun) / 1000)} s: ${Math.round(process.memoryUsage.rss() / 1e6)} MB`,
        );
    }
  };
  try {
    const sound = (await Promise.all(originals.map(async (bytes, at) => await decode(`original ${at}`, bytes)))).filter(
      ({problem}) => problem === null,
    );
    if (sound.length === 0)
      throw new Error(`Nothing in ${values.images} can be decoded. Expected --images DIR, a folder of pictures.`);
    console.log(`${originals.length} files to damage, of which ${sound.length} can be decoded`);
    // As many ahead as the worker has.
    await Promise.all(Array.from({length: threads * 4}, work));
  } finally {
    decoder.close();
    rmSync(folder, {recursive: true});
  }
}

await (values.inside ? inside() : outside());
