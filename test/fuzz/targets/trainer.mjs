// What the trainer reads: checkpoints, ONNX files, packs, model files, its own state and its tasks. judge.py reads
// them.
import {partsOf, zipOf} from '../archives.mjs';
import {mutateBytes, mutateJson} from '../mutate.mjs';
import {mutateOne} from './kept.mjs';

/**
 * A checkpoint damaged as a file, or in one of its parts with all checksums right; mostly the part that says what is in
 * it.
 */
function mutateZip(random, bytes) {
  if (random.below(4) === 0) return mutateBytes(random, bytes);
  const parts = partsOf(bytes);
  const described = parts.findIndex(({name}) => name.endsWith('data.pkl'));
  const at = random.below(4) > 0 ? described : random.below(parts.length);
  return zipOf(parts.with(at, {...parts[at], content: mutateBytes(random, parts[at].content)}));
}

/** A file of a length, as much JSON, and tensors, damaged as a whole or in its JSON with the length right. */
function mutateSafetensors(random, bytes) {
  if (random.below(2) === 0) return mutateBytes(random, bytes);
  const end = 8 + Number(bytes.readBigUInt64LE());
  const header = mutateJson(random, JSON.parse(bytes.toString('utf8', 8, end)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, bytes.subarray(end)]);
}

export const trainer = [
  {
    name: 'checkpoint',
    lane: 'trainer',
    share: 4,
    make: (random, {checkpoints}, isSound) => [
      ['teacher.pt', isSound ? checkpoints[0] : mutateZip(random, random.pick(checkpoints))],
    ],
  },
  {
    name: 'safetensors',
    lane: 'trainer',
    share: 3,
    make: (random, {safetensors}, isSound) => [
      ['teacher.safetensors', isSound ? safetensors : mutateSafetensors(random, safetensors)],
    ],
  },
  {
    name: 'state',
    lane: 'trainer',
    share: 2,
    make: (random, {state}, isSound) => [['checkpoint.pt', isSound ? state : mutateZip(random, state)]],
  },
  {
    name: 'onnx',
    lane: 'trainer',
    share: 4,
    make: (random, {networks}, isSound) => [
      ['teacher.onnx', isSound ? networks[0] : mutateBytes(random, random.pick(networks), random.pick(networks))],
    ],
  },
  {
    name: 'trainer-pack',
    lane: 'trainer',
    share: 2,
    make: (random, {pack}, isSound) => (isSound ? pack : mutateOne(random, pack)),
  },
  {
    name: 'trainer-task',
    lane: 'trainer',
    share: 5,
    make(random, {messages}, isSound) {
      const tasks = messages.filter(({side}) => side === 'trainer-task');
      return [
        [
          'task.json',
          isSound ? Buffer.from(JSON.stringify(tasks[0].message)) : mutateJson(random, random.pick(tasks).message),
        ],
      ];
    },
  },
];
