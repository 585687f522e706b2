// One part of scoring alone, in an image worker's environment: decoding, or the network. Started by score-ours.mjs.
import {readFile} from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import {fromWire} from '../dist/children/protocol.js';
import {configSchema} from '../dist/config/schema.js';
import {decodingOf} from '../dist/stages/context.js';
import {decodeAhead} from '../dist/worker/decode-ahead.js';
import {openSession} from '../dist/worker/session.js';

const CHANNELS = 3;
const [what, file] = process.argv.slice(2);
const job = fromWire(await readFile(file, 'utf8'));

/** Images done, a lot at a time. */
async function* decode() {
  async function* images() {
    for (;;) yield job.images;
  }
  const {size, resize, layout} = job;
  const decoding = decodingOf({config: configSchema.parse({labelled: '.', unlabelled: '.'}), size, resize});
  const precautions = {inHand: path.join(job.folder, 'in-hand.json'), culprits: []};
  for await (const lot of decodeAhead(images(), {
    decoding,
    threads: layout.decodeThreads,
    precautions,
    signal: new AbortController().signal,
  })) {
    const bad = lot.find(({problem}) => problem !== null);
    if (bad !== undefined) throw new Error(`${bad.item.file}: ${bad.problem.detail}`);
    yield lot.length;
  }
}

/** Images answered, batch by batch. */
async function* model() {
  const session = await openSession(job.model, job.device, job.layout);
  const {batchSize} = job.layout;
  const batch = () => new Uint8Array(batchSize * job.size ** 2 * CHANNELS).map((_, i) => (i * 7919) % 251);
  // As many as the worker has: one in each network, one ready.
  const inFlight = Array.from({length: session.networks + 1}, () => session.run(batch()));
  for (;;) {
    const {pixels} = await inFlight.shift();
    inFlight.push(session.run(pixels));
    yield batchSize;
  }
}

let [images, due] = [0, job.warmUpBatches * job.batchSize];
for await (const done of what === 'decode' ? decode() : model()) {
  images += done;
  if (images < due) continue;
  console.log(JSON.stringify({images}));
  due += job.images.length;
}
