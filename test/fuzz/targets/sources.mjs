// Sources of pictures: tars, CIFAR, lists, and the words that name them.
import {readdir, readFile} from 'node:fs/promises';
import {gzipSync} from 'node:zlib';
import {parquetWriteBuffer} from 'hyparquet-writer';
import {openSource, parseSource} from '../../../dist/images/source.js';
import {padded, sealTarHeader, tarOf} from '../archives.mjs';
import {mutateBytes, mutateJson, mutateText, word} from '../mutate.mjs';

const pixels = random => Buffer.from(Array.from({length: 3072}, () => random.below(256)));
const labels = ['ant', 'bee', 'große Eule', '7'];

/** Names a file so that its judge knows whether it is to be read as a labelled set. */
const named = (random, extension) => `${random.pick(['labelled', 'pool'])}.${extension}`;

async function listAll(spec, labelled, {folder, cache, signal}) {
  const source = await openSource(await parseSource(spec, folder), {labelled, cache, ownFolders: []});
  const entries = [];
  for await (const lot of source.entries(signal)) entries.push(...lot);
  const classes = await source.classes();
  for await (const {names} of source.files(signal))
    if (!names.every(name => typeof name === 'string')) throw new TypeError('a file without a name');
  const isWhole = entries.length > 0 && source.notes.length === 0 && entries.every(({problem}) => problem === null);
  return {kind: isWhole ? 'taken' : 'taken in part', detail: {entries, classes, notes: source.notes}};
}

async function judgeFile(context) {
  const [name] = (await readdir(context.folder)).filter(found => /^(labelled|pool)\./.test(found));
  return await listAll(name, name.startsWith('labelled'), context);
}

function tarMembers({picture}) {
  return [
    {name: 'a/0001.png', content: picture},
    {name: 'a/0001.cls', content: Buffer.from('3')},
    {name: 'a/0002.png', content: picture},
    {name: 'a/0002.json', content: Buffer.from(JSON.stringify({label: 'große Eule', more: [1, {a: 2}]}))},
    {name: '././@LongLink', type: 'L', content: Buffer.from(`a/${'long'.repeat(40)}.png\0`)},
    {name: 'a/long.png', content: picture},
    {name: '././@LongLink', type: 'L', content: Buffer.from(`a/${'long'.repeat(40)}.cls\0`)},
    {name: 'a/long.cls', content: Buffer.from('2')},
    {name: 'pax', type: 'x', content: Buffer.from('19 path=a/0003.png\n')},
    {name: 'x', content: picture},
    {name: 'a/0003.cls', content: Buffer.from('1')},
  ];
}

/** Damages what the checksums of a tar vouch for, and makes them right again. */
function tarInside(random, members) {
  const at = random.below(members.length);
  const {name, content, type = '0'} = members[at];
  const inside =
    random.below(2) === 0
      ? [{name, type, content: mutateBytes(random, content)}]
      : [
          {
            name: word(random).slice(0, 90),
            type: random.pick(['0', '1', '2', '5', 'L', 'K', 'x', 'g', 'S', 'V', '\0']),
            content,
          },
        ];
  const made = members.toSpliced(at, 1, ...inside);
  const tar = tarOf(made);
  if (random.below(2) === 0) return tar;
  let offset = 0;
  for (const {content: before} of made.slice(0, random.below(made.length))) offset += 512 + padded(before).length;
  const header = mutateBytes(random, tar.subarray(offset, offset + 512));
  return Buffer.concat([
    tar.subarray(0, offset),
    sealTarHeader(Buffer.concat([header, Buffer.alloc(512)]).subarray(0, 512)),
    tar.subarray(offset + 512),
  ]);
}

function cifarFiles(random) {
  const records = count =>
    Buffer.concat(
      Array.from({length: count}, (_, index) => Buffer.concat([Buffer.from([index % 10]), pixels(random)])),
    );
  return [
    ...[1, 2, 3, 4, 5].map(number => ({name: `data_batch_${number}.bin`, content: records(2)})),
    {name: 'test_batch.bin', content: records(1)},
    {
      name: 'batches.meta.txt',
      content: Buffer.from(Array.from({length: 10}, (_, index) => `class ${index}\n`).join('')),
    },
  ];
}

const csv = ['path,label', ...labels.map((label, index) => `${index}.png,${label}`), '"0.png","a ""b"", c"', ''].join(
  '\n',
);
const rows = labels.map((label, index) => ({path: `${index}.png`, label}));

/** The pictures that lists name. */
const listedPictures = ({picture}) => labels.map((_, index) => [`${index}.png`, picture]);

export const sources = [
  {
    name: 'tar',
    lane: 'readers',
    share: 11,
    make(random, seeds, isSound) {
      const members = tarMembers(seeds);
      if (isSound) return [['labelled.tar', tarOf(members)]];
      return [
        [
          named(random, 'tar'),
          random.below(3) === 0 ? mutateBytes(random, tarOf(members), seeds.picture) : tarInside(random, members),
        ],
      ];
    },
    judge: judgeFile,
  },
  {
    name: 'cifar',
    lane: 'readers',
    share: 4,
    make(random, _, isSound) {
      const files = cifarFiles(random);
      const at = random.below(files.length);
      if (!isSound)
        files[at] = {
          ...files[at],
          content: files[at].name.endsWith('.txt')
            ? mutateText(random, files[at].content.toString())
            : mutateBytes(random, files[at].content),
        };
      const tar = tarOf(files.map(({name, content}) => ({name: `cifar-10-batches-bin/${name}`, content})));
      const zipped = gzipSync(tar, {level: 1});
      return [[named(random, 'tar.gz'), isSound || random.below(2) === 0 ? zipped : mutateBytes(random, zipped)]];
    },
    judge: judgeFile,
  },
  {
    name: 'csv',
    lane: 'readers',
    share: 8,
    make: (random, seeds, isSound) => [
      ...listedPictures(seeds),
      [isSound ? 'labelled.csv' : named(random, 'csv'), isSound ? Buffer.from(csv) : mutateText(random, csv)],
    ],
    judge: judgeFile,
  },
  {
    name: 'jsonl',
    lane: 'readers',
    share: 7,
    make(random, seeds, isSound) {
      const lines = rows.map(row =>
        isSound || random.below(2) === 0 ? Buffer.from(JSON.stringify(row)) : mutateJson(random, row),
      );
      return [
        ...listedPictures(seeds),
        [
          isSound ? 'labelled.jsonl' : named(random, 'jsonl'),
          Buffer.concat(lines.flatMap(line => [line, Buffer.from('\n')])),
        ],
      ];
    },
    judge: judgeFile,
  },
  {
    name: 'parquet',
    lane: 'readers',
    share: 7,
    make(random, seeds, isSound) {
      const column = (name, data) => ({name, data, type: 'STRING'});
      const bytes = Buffer.from(
        parquetWriteBuffer({
          columnData: [
            column(
              'path',
              rows.map(({path}) => path),
            ),
            column('label', labels),
          ],
          codec: isSound ? 'UNCOMPRESSED' : random.pick(['UNCOMPRESSED', 'SNAPPY']),
        }),
      );
      return [
        ...listedPictures(seeds),
        [isSound ? 'labelled.parquet' : named(random, 'parquet'), isSound ? bytes : mutateBytes(random, bytes)],
      ];
    },
    judge: judgeFile,
  },
  {
    name: 'source',
    lane: 'readers',
    share: 3,
    make(random, seeds, isSound) {
      const spec = random.pick([
        'shards-{000..001}.tar',
        'webdataset:shards-000.tar',
        'folder:.',
        '.',
        'cifar10:.?split=train',
        'manifest:list.csv',
        'list.csv',
      ]);
      const shard = tarOf(tarMembers(seeds));
      return [
        ['shards-000.tar', shard],
        ['shards-001.tar', shard],
        ['list.csv', Buffer.from(csv)],
        ...listedPictures(seeds),
        ['source.txt', isSound ? Buffer.from('shards-{000..001}.tar') : mutateText(random, spec)],
      ];
    },
    judge: async context => listAll(await readFile(`${context.folder}/source.txt`, 'utf8'), true, context),
  },
];
