// What pupil wrote itself and reads again: score files, packs, messages between the orchestrator and its children.
import {readFile} from 'node:fs/promises';
import {runChild} from '../../../dist/children/child.js';
import {
  childEvent,
  fromWire,
  packItem,
  predictItem,
  PROTOCOL,
  scoreShard,
  toWire,
  trainerTask,
  workerTask,
} from '../../../dist/children/protocol.js';
import {Interrupted} from '../../../dist/errors.js';
import {openPack} from '../../../dist/images/pack.js';
import {readScores} from '../../../dist/images/score-file.js';
import {bodyOf, sealed} from '../../../dist/pool/columns.js';
import {readChunk} from '../../../dist/pool/listing-files.js';
import {onnxMetadata} from '../../../dist/worker/onnx-metadata.js';
import {mutateBytes, mutateJson, mutateText} from '../mutate.mjs';

const schemas = {
  'trainer-task': trainerTask,
  'worker-task': workerTask,
  event: childEvent,
  item: packItem,
  shard: scoreShard,
  picture: predictItem,
};

function messageOf(random, {messages}, isSound) {
  const {side, message} = isSound ? messages[0] : random.pick(messages);
  return {side, bytes: isSound ? Buffer.from(JSON.stringify(message)) : mutateJson(random, message)};
}

/** One file of a folder changed, the others as they are. */
export function mutateOne(random, files) {
  const at = random.below(files.length);
  const [name, content] = files[at];
  const changed = name.endsWith('.json')
    ? mutateJson(random, JSON.parse(content.toString()))
    : name.endsWith('.txt')
      ? mutateText(random, content.toString())
      : mutateBytes(random, content);
  return random.below(20) === 0 ? files.toSpliced(at, 1) : files.with(at, [name, changed]);
}

export const kept = [
  {
    name: 'scores',
    lane: 'readers',
    share: 5,
    make: (random, {scores}, isSound) => [['shard.parquet', isSound ? scores : mutateBytes(random, scores)]],
    async judge({folder}) {
      const {ids, classes, logProbs} = await readScores(`${folder}/shard.parquet`, 2);
      return {
        kind: 'taken',
        detail: [ids, ...classes, ...logProbs].map(column => Buffer.from(column.buffer).toString('hex')),
      };
    },
  },
  {
    name: 'listing',
    lane: 'readers',
    share: 2,
    // What is not as it was written is known for that; what was written wrongly has to be taken apart.
    make(random, {listing}, isSound) {
      const damaged =
        random.below(4) === 0 ? mutateBytes(random, listing) : sealed(mutateBytes(random, bodyOf(listing)));
      return [['00000.columns', isSound ? listing : damaged]];
    },
    async judge({folder}) {
      const {rows, ids, imageAt} = await readChunk(folder, 0);
      const images = Array.from({length: rows}, (_, row) => imageAt(row));
      return {kind: 'taken', detail: [Buffer.from(ids.buffer).toString('hex'), images]};
    },
  },
  {
    name: 'pack',
    lane: 'readers',
    share: 3,
    make: (random, {pack}, isSound) => (isSound ? pack : mutateOne(random, pack)),
    async judge({folder}) {
      const pack = await openPack(folder);
      try {
        const pixels = new Uint8Array(pack.images * pack.size ** 2 * 3);
        await pack.readRows(0, pack.images, pixels);
        const ids = [];
        for await (const id of pack.ids()) ids.push(id);
        return {kind: 'taken', detail: [Buffer.from(pixels).toString('hex'), ids, [...pack.samplePairs]]};
      } finally {
        await pack.close();
      }
    },
  },
  {
    name: 'message',
    lane: 'readers',
    share: 9,
    make(random, seeds, isSound) {
      const {side, bytes} = messageOf(random, seeds, isSound);
      return [
        ['side.txt', Buffer.from(side)],
        ['message.json', bytes],
      ];
    },
    async judge({folder}) {
      const schema = schemas[await readFile(`${folder}/side.txt`, 'utf8')];
      let message;
      try {
        message = fromWire(await readFile(`${folder}/message.json`, 'utf8'));
      } catch (error) {
        // All who read a line take whatever this throws for "no JSON".
        return {kind: 'no JSON', detail: error.message};
      }
      const parsed = schema.safeParse(message);
      if (!parsed.success) return {kind: 'refused', detail: parsed.error.message};
      const again = schema.parse(fromWire(toWire(parsed.data)));
      if (toWire(again) !== toWire(parsed.data))
        throw new Error(`What was read is written otherwise: ${toWire(parsed.data).slice(0, 500)}`);
      return {kind: 'taken', detail: parsed.data};
    },
  },
  {
    name: 'child',
    lane: 'readers',
    share: 2,
    make(random, seeds, isSound) {
      const hello = {type: 'hello', protocol: PROTOCOL, runtime: 'fuzz', device: 'cpu'};
      const finished = {type: 'finished', result: {images: 3}};
      const events = seeds.messages.filter(({side}) => side === 'event');
      const line = message =>
        isSound || random.below(3) > 0 ? Buffer.from(JSON.stringify(message)) : mutateJson(random, message);
      const said = isSound ? [] : Array.from({length: random.below(4)}, () => random.pick(events).message);
      return [
        [
          'events.ndjson',
          Buffer.concat([hello, ...said, finished].flatMap(message => [line(message), Buffer.from('\n')])),
        ],
      ];
    },
    async judge({folder}) {
      const never = new AbortController().signal;
      const command = {name: 'trainer', file: '/bin/sh', args: ['-c', 'cat events.ndjson >&3'], env: {}, cwd: folder};
      const seen = [];
      try {
        const result = await runChild(
          command,
          {protocol: PROTOCOL, task: 'draw'},
          {attempt: `${folder}/attempt`, stop: {requested: never, forced: never}, onEvent: event => seen.push(event)},
        );
        return {kind: 'taken', detail: [result, seen]};
      } catch (error) {
        if (error instanceof Interrupted) return {kind: 'exit 143', detail: seen};
        throw error;
      }
    },
  },
  {
    name: 'onnx-description',
    lane: 'readers',
    share: 2,
    make: (random, {networks}, isSound) => [
      ['model.onnx', isSound ? networks[0] : mutateBytes(random, random.pick(networks), random.pick(networks))],
    ],
    async judge({folder}) {
      try {
        return {kind: 'taken', detail: [...onnxMetadata(await readFile(`${folder}/model.onnx`))]};
      } catch (error) {
        if (error instanceof RangeError && !error.message.includes('call stack'))
          return {kind: 'refused', detail: error.message};
        throw error;
      }
    },
  },
];
