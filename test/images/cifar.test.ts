import {gzipSync} from 'node:zlib';
import {readdir, stat, utimes} from 'node:fs/promises';
import {describe, expect, it} from 'vitest';
import {UserError} from '../../src/errors.js';
import {openSource, parseSource} from '../../src/images/source.js';
import {bytesOf, entriesOf, filesOf} from './listed.js';
import {cifarRecord, put} from './pictures.js';
import {tarOf} from './tar-file.js';
import {temporaryFolder} from './temporary-folder.js';

const names100 = Array.from({length: 100}, (_, i) => `class_${i}`);
const names10 = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'];
const train = Buffer.concat([cifarRecord([7, 42], 1), cifarRecord([3, 99], 2)]);
const test = cifarRecord([0, 5], 3);

async function cifar100(folder: string): Promise<void> {
  await put(`${folder}/train.bin`, train);
  await put(`${folder}/test.bin`, test);
  await put(`${folder}/fine_label_names.txt`, names100.join('\n'));
}

const open = async (spec: string, labelled = true) => {
  const cache = await temporaryFolder();
  return {cache, source: await openSource(await parseSource(spec, '/'), {labelled, cache})};
};

describe('CIFAR', () => {
  it('gives fine labels by name and the place of every record', async () => {
    const root = await temporaryFolder();
    await cifar100(root);
    const {source} = await open(root);
    const entries = await entriesOf(source);
    expect(entries.map(({file, member, label, encoding}) => [file, member, label, encoding])).toEqual([
      ['test.bin', '0', 'class_5', 'cifar'],
      ['train.bin', '0', 'class_42', 'cifar'],
      ['train.bin', '1', 'class_99', 'cifar'],
    ]);
    expect(await bytesOf(source, entries[2]!)).toEqual(cifarRecord([], 2));
    expect(await source.classes()).toEqual(names100);
    expect((await filesOf(source)).map(({file}) => file)).toEqual(['fine_label_names.txt', 'test.bin', 'train.bin']);
    // Cut on purpose here; a copy that broke off looks the same, also where it ends between two records.
    expect(source.warnings).toEqual([
      'train.bin holds 2 records of the 50,000 that it has as published; if it was not cut on purpose, fetch it again',
      'test.bin holds 1 record of the 10,000 that it has as published; if it was not cut on purpose, fetch it again',
    ]);
  });

  it('keeps to a split, and hides labels where none are wanted', async () => {
    const root = await temporaryFolder();
    await cifar100(root);
    const {source} = await open(`cifar100:${root}?split=test`, false);
    expect(await entriesOf(source)).toMatchObject([{file: 'test.bin', label: null}]);
    expect(await source.classes()).toBeNull();
  });

  it('reads CIFAR-10 in its five batches', async () => {
    const root = await temporaryFolder();
    for (let batch = 1; batch <= 5; batch++) await put(`${root}/data_batch_${batch}.bin`, cifarRecord([batch], batch));
    await put(`${root}/test_batch.bin`, cifarRecord([9], 9));
    await put(`${root}/batches.meta.txt`, `${names10.join('\n')}\n\n`);
    const {source} = await open(`${root}?split=train`);
    expect((await entriesOf(source)).map(({label}) => label)).toEqual(['automobile', 'bird', 'cat', 'deer', 'dog']);
  });

  it.each(['cifar-100-binary.tar.gz', 'renamed.tgz', 'plain.tar'])(
    'reads the archive as downloaded, here %s',
    async name => {
      const folder = await temporaryFolder();
      const tar = tarOf(
        {name: 'cifar-100-binary/', type: '5'},
        {name: 'cifar-100-binary/fine_label_names.txt', content: names100.join('\n')},
        {name: 'cifar-100-binary/train.bin', content: train},
        {name: 'cifar-100-binary/test.bin', content: test},
      );
      await put(`${folder}/${name}`, name.endsWith('.tar') ? tar : gzipSync(tar));
      const {source, cache} = await open(`${folder}/${name}`);
      const entries = await entriesOf(source);
      expect(entries.map(({member, label}) => [member, label])).toEqual([
        ['test.bin/0', 'class_5'],
        ['train.bin/0', 'class_42'],
        ['train.bin/1', 'class_99'],
      ]);
      expect(await bytesOf(source, entries[2]!)).toEqual(cifarRecord([], 2));
      expect((await filesOf(source)).map(({file}) => file)).toEqual([name]);
      expect(await readdir(cache)).toHaveLength(name.endsWith('.tar') ? 0 : 1);
    },
  );

  it('unpacks an archive once, and again when it has changed', async () => {
    const folder = await temporaryFolder();
    const archive = `${folder}/cifar-100-binary.tar.gz`;
    await put(
      archive,
      gzipSync(
        tarOf(
          {name: 'cifar-100-binary/fine_label_names.txt', content: names100.join('\n')},
          {name: 'cifar-100-binary/test.bin', content: test},
          {name: 'cifar-100-binary/train.bin', content: train},
        ),
      ),
    );
    const {source, cache} = await open(archive);
    await entriesOf(source);
    const [unpacked] = await readdir(cache);
    const {ctimeMs} = await stat(`${cache}/${unpacked}`);
    await entriesOf(source);
    expect((await stat(`${cache}/${unpacked}`)).ctimeMs).toBe(ctimeMs);
    await utimes(archive, 1, 1);
    await entriesOf(source);
    expect(await readdir(cache)).toHaveLength(2);
  });

  it('says that a cut-off archive is damaged, and leaves nothing behind', async () => {
    const folder = await temporaryFolder();
    const whole = gzipSync(tarOf({name: 'cifar-100-binary/train.bin', content: train}), {level: 0});
    await put(`${folder}/cifar-100-binary.tar.gz`, whole.subarray(0, whole.length - 2000));
    const {source, cache} = await open(`${folder}/cifar-100-binary.tar.gz`);
    await expect(entriesOf(source)).rejects.toThrow(/is damaged .* Download it again/);
    expect(await readdir(cache)).toEqual([]);
  });

  it('keeps the complete records of a cut-off file and sets the rest aside', async () => {
    const root = await temporaryFolder();
    await cifar100(root);
    await put(`${root}/train.bin`, train.subarray(0, train.length - 1));
    const entries = await entriesOf((await open(`${root}?split=train`)).source);
    expect(entries).toMatchObject([
      {label: 'class_42', problem: null},
      {member: '1', label: null, problem: {code: 'BAD_RECORD'}},
    ]);
  });

  it('sets a record aside whose label has no name', async () => {
    const root = await temporaryFolder();
    await cifar100(root);
    await put(`${root}/test.bin`, cifarRecord([0, 100], 3));
    expect(await entriesOf((await open(`${root}?split=test`)).source)).toMatchObject([
      {label: null, problem: {code: 'BAD_RECORD', detail: 'label 100; expected 0 to 99'}},
    ]);
  });

  it('names the file that is missing', async () => {
    const root = await temporaryFolder();
    await put(`${root}/train.bin`, train);
    await expect(entriesOf((await open(`cifar100:${root}?split=train`)).source)).rejects.toThrow(
      /has no fine_label_names.txt/,
    );
    await expect(entriesOf((await open(`cifar100:${root}?split=test`)).source)).rejects.toThrow(/lacks test.bin/);
    await expect(entriesOf((await open(`cifar100:${root}?split=test`)).source)).rejects.toBeInstanceOf(UserError);
  });
});
