import {gzipSync} from 'node:zlib';
import {describe, expect, it} from 'vitest';
import {exitCodes, UserError} from '../../src/errors.js';
import {parseSource} from '../../src/images/source.js';
import {cifarRecord, put} from './pictures.js';
import {tarOf} from './tar-file.js';
import {temporaryFolder} from './temporary-folder.js';

describe('a source is recognised', () => {
  it.each([
    ['folders/cat/1.png', 'folders', 'folder', 'folders'],
    ['deep/a/b/1.png', 'folder:deep', 'folder', 'deep'],
    ['c100/train.bin', 'c100', 'cifar100', 'c100'],
    ['up/cifar-100-binary/train.bin', 'up', 'cifar100', 'up/cifar-100-binary'],
    ['up10/cifar-10-batches-bin/data_batch_1.bin', 'cifar10:up10', 'cifar10', 'up10/cifar-10-batches-bin'],
    ['c10/data_batch_1.bin', 'c10/', 'cifar10', 'c10'],
    ['shards/000.tar', 'shards', 'webdataset', 'shards'],
    ['shards/000.tar', 'shards/000.tar', 'webdataset', 'shards/000.tar'],
    ['shards/000.tar', 'shards/{000..999}.tar', 'webdataset', 'shards/{000..999}.tar'],
    ['shards/000.tar', 'webdataset:shards/{000..999}.tar', 'webdataset', 'shards/{000..999}.tar'],
    ['lists/a.csv', 'lists/a.csv', 'manifest', 'lists/a.csv'],
    ['lists/a.jsonl', 'manifest:lists/a.jsonl', 'manifest', 'lists/a.jsonl'],
    ['what?/1.png', 'what?', 'folder', 'what?'],
  ])('with %s there, %s is a %s', async (file, spec, kind, path) => {
    const base = await temporaryFolder();
    await put(`${base}/${file}`, file.endsWith('.tar') ? tarOf({name: '1.png', content: 'x'}) : 'x');
    expect(await parseSource(spec, base)).toEqual({kind, path: `${base}/${path}`, split: null});
  });

  it('by the first member of an archive, whatever its name', async () => {
    const base = await temporaryFolder();
    await put(
      `${base}/download.tar.gz`,
      gzipSync(
        tarOf(
          {name: 'cifar-10-batches-bin/', type: '5'},
          {name: 'cifar-10-batches-bin/data_batch_1.bin', content: cifarRecord([1], 1)},
        ),
      ),
    );
    expect(await parseSource('download.tar.gz?split=train', base)).toEqual({
      kind: 'cifar10',
      path: `${base}/download.tar.gz`,
      split: 'train',
    });
  });

  it('with its split', async () => {
    const base = await temporaryFolder();
    await put(`${base}/train.bin`, 'x');
    expect(await parseSource(`cifar100:${base}?split=test`, '/')).toEqual({
      kind: 'cifar100',
      path: base,
      split: 'test',
    });
  });
});

describe('what is no source is refused with what was found and what was expected', () => {
  it.each([
    ['nowhere', exitCodes.usage, /there is nothing at .*nowhere\. Expected a folder of images/],
    ['', exitCodes.usage, /names no path/],
    ['cifar100:', exitCodes.usage, /names no path/],
    ['movie.mp4', exitCodes.data, /movie\.mp4 is a file of an unknown kind\. Expected/],
    ['shards.tar.gz', exitCodes.data, /gunzip --keep/],
    ['python.tar.gz', exitCodes.data, /Python version of CIFAR/],
    ['pickles', exitCodes.data, /Python version of CIFAR/],
    ['folder:movie.mp4', exitCodes.usage, /is a folder of images/],
    ['manifest:pickles', exitCodes.usage, /no \.csv, \.jsonl or \.parquet/],
    ['webdataset:movie.mp4', exitCodes.usage, /no \.tar file/],
    ['cifar10:movie.mp4', exitCodes.usage, /neither a folder nor a \.tar\.gz/],
    [
      'with an archive',
      exitCodes.usage,
      /holds archives \(backup\.tar\) and pictures \(1\.JPG\) beside them\. Say which are meant: webdataset:\S.* for the archives alone, folder:\S.* for the others\./,
    ],
    ['classes and an archive', exitCodes.usage, /holds archives \(all\.tar\) and folders \(cat\) beside them\./],
    ['pictures?split=train', exitCodes.usage, /kind "folder", which has none/],
    ['pictures?split=all', exitCodes.usage, /Expected \?split=train or \?split=test/],
  ])('%j', async (spec, exitCode, message) => {
    const base = await temporaryFolder();
    await put(`${base}/movie.mp4`, 'x');
    await put(`${base}/pictures/1.png`, 'x');
    await put(`${base}/with an archive/1.JPG`, 'x');
    await put(`${base}/with an archive/backup.tar`, tarOf({name: '1.png', content: 'x'}));
    await put(`${base}/classes and an archive/cat/1.jpg`, 'x');
    await put(`${base}/classes and an archive/all.tar`, tarOf({name: '1.png', content: 'x'}));
    await put(`${base}/shards.tar.gz`, gzipSync(tarOf({name: '1.png', content: 'x'})));
    await put(`${base}/python.tar.gz`, gzipSync(tarOf({name: 'cifar-100-python/', type: '5'})));
    await put(`${base}/pickles/cifar-100-python/train`, 'x');
    const refused = parseSource(spec, base);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toSatisfy(error => error instanceof UserError && error.exitCode === exitCode);
  });
});
