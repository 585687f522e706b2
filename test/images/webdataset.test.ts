import {execFileSync} from 'node:child_process';
import {gzipSync} from 'node:zlib';
import {describe, expect, it} from 'vitest';
import {openWebDataset} from '../../src/images/webdataset.js';
import {bytesOf, entriesOf, filesOf} from './listed.js';
import {jpeg, png, put} from './pictures.js';
import {END_MARK, paxRecord, tarMember, tarOf} from './tar-file.js';
import {temporaryFolder} from './temporary-folder.js';

describe('WebDataset shards', () => {
  it('join the members of a sample: an image, and its label as .cls or in .json', async () => {
    const root = await temporaryFolder();
    const [first, second] = [await png(1), await jpeg(2)];
    await put(
      `${root}/000000.tar`,
      tarOf(
        {name: 'a/0001.png', content: first},
        {name: 'a/0001.cls', content: '7\n'},
        {name: 'a/0001.txt', content: 'a caption'},
        {name: './0002.json', content: '{"label": "tabby cat", "width": 3}'},
        {name: './0002.JPG', content: second},
        {name: '0003.jpeg', content: second},
        {name: '0003.seg.png', content: first},
        {name: '0003.json', content: '{"class": 12}'},
        {name: '0004.webp', content: first},
        {name: '0004.json', content: 'no json'},
      ),
    );
    const source = await openWebDataset(`${root}/000000.tar`, {labelled: true});
    const entries = await entriesOf(source);
    expect(entries.map(({file, member, label, problem}) => [file, member, label, problem?.code])).toEqual([
      ['000000.tar', './0002.JPG', 'tabby cat', undefined],
      ['000000.tar', '0003.jpeg', '12', undefined],
      ['000000.tar', '0004.webp', null, 'NO_LABEL'],
      ['000000.tar', 'a/0001.png', '7', undefined],
    ]);
    expect(await bytesOf(source, entries[0]!)).toEqual(second);
    expect(await bytesOf(source, entries[3]!)).toEqual(first);
    expect(source.notes).toEqual([
      '1 member that is no picture (such as 000000.tar#a/0001.txt) left out',
      '1 member that describes the picture beside it (such as 000000.tar#0003.seg.png) left out',
    ]);
  });

  it('know a picture by its last extension, and its label by its own name or its sample’s', async () => {
    const root = await temporaryFolder();
    const members = ['shot.001.jpg', 'shot.002.JPEG', 'shot.003.jfif', 'v1.2/b.png', 'pair.left.png', 'pair.right.png'];
    const labels = [
      {name: 'shot.001.cls', content: 'one'},
      {name: 'shot.002.cls', content: '2'},
      {name: 'shot.003.json', content: '{"label": "three"}'},
    ];
    await put(
      `${root}/0.tar`,
      tarOf(
        ...members.slice(0, 3).map(name => ({name, content: name})),
        ...labels,
        {name: members[3]!, content: 'b'},
        {name: 'v1.2/b.cls', content: 'b'},
        {name: 'pair.cls', content: 'pair'},
        ...members.slice(4).map(name => ({name, content: name})),
      ),
    );
    const entries = await entriesOf(await openWebDataset(root, {labelled: true}));
    expect(Object.fromEntries(entries.map(({member, label}) => [member, label]))).toEqual({
      'shot.001.jpg': 'one',
      'shot.002.JPEG': '2',
      'shot.003.jfif': 'three',
      'v1.2/b.png': 'b',
      'pair.left.png': 'pair',
      'pair.right.png': 'pair',
    });
    expect((await entriesOf(await openWebDataset(root, {labelled: false}))).map(({member}) => member).sort()).toEqual(
      [...members].sort(),
    );
  });

  it('leave out what services put between the members of a sample, and count it', async () => {
    const root = await temporaryFolder();
    await put(`${root}/._0.tar`, 'no tar');
    await put(`${root}/notes.txt`, 'not a shard');
    await put(
      `${root}/0.tar`,
      tarOf(
        {name: './._1.png', content: 'x'},
        {name: './1.png', content: 'a'},
        {name: './._1.cls', content: 'x'},
        {name: './1.cls', content: 'cat'},
        {name: '@eaDir/1.png/THUMB.jpg', content: 'x'},
        {name: '__MACOSX/._1.png', content: 'x'},
      ),
    );
    const source = await openWebDataset(root, {labelled: true});
    expect((await entriesOf(source)).map(({member, label}) => [member, label])).toEqual([['./1.png', 'cat']]);
    expect(source.notes).toEqual([
      '1 hidden or service file or folder (such as ._0.tar) left out',
      '1 file or folder beside the .tar shards (such as notes.txt) left out',
      '4 hidden or service members (such as 0.tar#./._1.png) left out',
    ]);
  });

  it('are read behind their end mark, where another tar follows; what is no tar there is told', async () => {
    const root = await temporaryFolder();
    const [first, second] = [tarOf({name: '1.png', content: 'a'}), tarOf({name: '2.png', content: 'b'})];
    await put(`${root}/0.tar`, Buffer.concat([first, Buffer.alloc(7 * 512), second, Buffer.alloc(100)]));
    await put(`${root}/1.tar`, Buffer.concat([first, Buffer.from('trailing')]));
    await put(`${root}/2.tar`, gzipSync(first));
    const source = await openWebDataset(root, {labelled: false});
    expect((await entriesOf(source)).map(({file, member}) => `${file} ${member}`)).toEqual([
      '0.tar 1.png',
      '0.tar 2.png',
      '1.tar 1.png',
    ]);
    expect(source.warnings).toEqual([
      `1.tar is partial: what lies behind its end, from byte ${first.length} to ${first.length + 8}, is no tar; its complete members are kept`,
      expect.stringMatching(/^2\.tar is partial: it is compressed with gzip: unpack it with gunzip/),
    ]);
  });

  it('refuse a label that is no UTF-8, naming its member (exit 3)', async () => {
    const root = await temporaryFolder();
    await put(
      `${root}/0.tar`,
      tarOf({name: '1.png', content: 'a'}, {name: '1.cls', content: Buffer.from('h\xf6r', 'latin1')}),
    );
    await expect(entriesOf(await openWebDataset(root, {labelled: true}))).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(/0\.tar#1\.cls cannot be read: line 1 is no UTF-8/) as string,
    });
  });

  it.each([
    ['{0..99999999}', /stands for 100,000,000 shards; at most 100,000 shards/],
    ['{9..0}', /runs backwards; expected \{0\.\.9\}/],
    ['{08..100}', /numbers of different widths/],
    ['{0..1}-{0..9}', /followed by another one/],
  ])('refuse the range %s before they look for any (exit 2)', async (pattern, message) => {
    const root = await temporaryFolder();
    await expect(openWebDataset(`${root}/${pattern}.tar`, {labelled: false})).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringMatching(message) as string,
    });
  });

  it('need no labels where none are wanted', async () => {
    const root = await temporaryFolder();
    await put(`${root}/0.tar`, tarOf({name: '1.png', content: 'x'}, {name: '1.cls', content: '3'}));
    expect(await entriesOf(await openWebDataset(root, {labelled: false}))).toMatchObject([
      {member: '1.png', label: null, problem: null},
    ]);
  });

  it('are found by a pattern, a folder or a name, and missing numbers are told', async () => {
    const root = await temporaryFolder();
    for (const number of ['000000', '000001', '000004'])
      await put(`${root}/${number}.tar`, tarOf({name: `${number}.png`, content: number}));
    const missing = 'missing among the shards: 000002.tar, 000003.tar';

    const byPattern = await openWebDataset(`${root}/{000000..000005}.tar`, {labelled: false});
    expect((await entriesOf(byPattern)).map(({member}) => member)).toEqual(['000000.png', '000001.png', '000004.png']);
    expect(byPattern.root).toBe(root);
    expect(byPattern.warnings).toEqual([`${missing}, 000005.tar`]);

    const byFolder = await openWebDataset(root, {labelled: false});
    expect(await entriesOf(byFolder)).toHaveLength(3);
    expect(byFolder.warnings).toEqual([missing]);
    expect((await filesOf(byFolder)).map(({file}) => file)).toEqual(['000000.tar', '000001.tar', '000004.tar']);

    await expect(openWebDataset(`${root}/{10..12}.tar`, {labelled: false})).rejects.toThrow(/No \.tar shard found/);
  });

  it('with a range among the folders have their root above it', async () => {
    const root = await temporaryFolder();
    for (const number of [0, 1])
      await put(`${root}/part-${number}/pool.tar`, tarOf({name: `${number}.png`, content: 'x'}));
    const source = await openWebDataset(`${root}/part-{0..1}/pool.tar`, {labelled: false});
    expect(source.root).toBe(root);
    expect((await entriesOf(source)).map(({file}) => file)).toEqual(['part-0/pool.tar', 'part-1/pool.tar']);
  });

  it('without an end keep their complete members', async () => {
    const root = await temporaryFolder();
    const whole = tarOf({name: '1.png', content: 'a'.repeat(700)}, {name: '2.png', content: 'b'.repeat(700)});
    await put(`${root}/cut-member.tar`, whole.subarray(0, 512 + 1024 + 512 + 600));
    await put(`${root}/no-end.tar`, whole.subarray(0, whole.length - END_MARK.length));
    await put(`${root}/cut-header.tar`, whole.subarray(0, 512 + 1024 + 100));
    const source = await openWebDataset(root, {labelled: false});
    expect((await entriesOf(source)).map(({file, member}) => `${file} ${member}`)).toEqual([
      'cut-header.tar 1.png',
      'cut-member.tar 1.png',
      'no-end.tar 1.png',
      'no-end.tar 2.png',
    ]);
    expect(source.warnings.map(warning => warning.replace(/: .*/, ''))).toEqual([
      'cut-header.tar is partial',
      'cut-member.tar is partial',
      'no-end.tar is partial',
    ]);
  });

  it('stop at a damaged header and say where', async () => {
    const root = await temporaryFolder();
    const damaged = tarOf({name: '1.png', content: 'a'}, {name: '2.png', content: 'b'});
    damaged[1024 + 3] = 0x7a;
    await put(`${root}/0.tar`, damaged);
    const source = await openWebDataset(root, {labelled: false});
    expect((await entriesOf(source)).map(({member}) => member)).toEqual(['1.png']);
    expect(source.warnings).toEqual([
      '0.tar is partial: the header at byte 1024 is damaged; its complete members are kept',
    ]);
  });

  it('never lead out: names with .., absolute names, links, devices and sparse files are set aside', async () => {
    const root = await temporaryFolder();
    await put(
      `${root}/0.tar`,
      tarOf(
        {name: '../escape.png', content: 'a'},
        {name: '/etc/absolute.png', content: 'b'},
        {name: 'a/../../b.png', content: 'c'},
        {name: 'link.png', type: '2', linkname: '/etc/passwd'},
        {name: 'hard.png', type: '1', linkname: '/etc/passwd'},
        {name: 'device.png', type: '3'},
        {name: 'pipe.png', type: '6'},
        {name: 'sparse.png', type: 'S', size: 0},
        {name: 'folder.png', type: '5'},
        {name: 'good.png', content: 'd'},
      ),
    );
    const entries = await entriesOf(await openWebDataset(root, {labelled: false}));
    expect(Object.fromEntries(entries.map(({member, problem}) => [member, problem?.code]))).toEqual({
      '../escape.png': 'OUTSIDE_ROOT',
      '/etc/absolute.png': 'OUTSIDE_ROOT',
      'a/../../b.png': 'OUTSIDE_ROOT',
      'link.png': 'NOT_A_FILE',
      'hard.png': 'NOT_A_FILE',
      'device.png': 'NOT_A_FILE',
      'pipe.png': 'NOT_A_FILE',
      'sparse.png': 'NOT_A_FILE',
      'folder.png': 'NOT_A_FILE',
      'good.png': undefined,
    });
  });

  it('may have long names in the GNU and the pax way, and sizes in pax', async () => {
    const root = await temporaryFolder();
    const long = `${'folder/'.repeat(30)}picture`;
    await put(
      `${root}/0.tar`,
      tarOf(
        {name: '././@LongLink', type: 'L', content: `${long}-gnu.png\0`},
        {name: long.slice(0, 99), content: 'gnu'},
        {
          name: 'PaxHeaders/x',
          type: 'x',
          content: paxRecord('path', `${long}-päx.png`) + paxRecord('size', '3') + paxRecord('mtime', '1.5'),
        },
        {name: 'short', content: 'pax'},
        {name: 'pax_global_header', type: 'g', content: paxRecord('comment', 'none')},
        {name: 'after.png', content: 'plain'},
        {name: 'PaxHeaders/y', type: 'x', content: paxRecord('GNU.sparse.major', '1')},
        {name: 'sparse.png', content: 'holes'},
      ),
    );
    const source = await openWebDataset(root, {labelled: false});
    const entries = await entriesOf(source);
    expect(entries.map(({member, problem}) => [member, problem?.code])).toEqual([
      ['after.png', undefined],
      [`${long}-gnu.png`, undefined],
      [`${long}-päx.png`, undefined],
      ['sparse.png', 'NOT_A_FILE'],
    ]);
    expect((await bytesOf(source, entries[2]!)).toString()).toBe('pax');
  });

  it('may be larger than 8 GiB by their headers: such a member is cut off, not believed', async () => {
    const root = await temporaryFolder();
    const huge = tarMember({name: 'huge.png', content: 'x'});
    huge.writeUInt8(0x80, 124);
    huge.fill(0, 125, 136);
    huge.writeUInt32BE(3, 128); // 3 * 2^32 bytes in base 256
    huge.write('        ', 148);
    huge.write(
      `${huge
        .subarray(0, 512)
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
    await put(`${root}/0.tar`, Buffer.concat([tarMember({name: '1.png', content: 'a'}), huge, END_MARK]));
    const source = await openWebDataset(root, {labelled: false});
    expect(await entriesOf(source)).toHaveLength(1);
    expect(source.warnings[0]).toMatch(/of 12884901888 bytes are there/);
  });

  it.each(['v7', 'ustar', 'gnu', 'posix'])('made by tar in its %s format are read', async format => {
    const root = await temporaryFolder();
    const folder =
      format === 'v7'
        ? 'short'
        : 'a-folder-name-that-is-longer-than-any-field/of-a-header/and-goes-on-for-quite-a-while/and-on-and-on';
    await put(`${root}/${folder}/1.png`, 'one');
    await put(`${root}/${folder}/2.png`, 'two'.repeat(1000));
    execFileSync('tar', ['--create', `--format=${format}`, `--file=${root}/0.tar`, `--directory=${root}`, folder]);
    const source = await openWebDataset(`${root}/0.tar`, {labelled: false});
    const entries = await entriesOf(source);
    expect(entries.map(({member}) => member)).toEqual([`${folder}/1.png`, `${folder}/2.png`]);
    expect((await bytesOf(source, entries[1]!)).toString()).toBe('two'.repeat(1000));
    expect([source.notes, source.warnings]).toEqual([[], []]);
  });

  it('that are no tar at all are told, and the others are read', async () => {
    const root = await temporaryFolder();
    await put(`${root}/0.tar`, 'no tar '.repeat(200));
    await put(`${root}/1.tar`, tarOf({name: '1.png', content: 'a'}));
    await put(`${root}/2.tar`, '');
    const source = await openWebDataset(root, {labelled: false});
    expect(await entriesOf(source)).toHaveLength(1);
    expect(source.warnings).toHaveLength(2);
  });
});

it('a number that numbers do not keep exactly is no label, since two of them may become one class', async () => {
  const root = await temporaryFolder();
  await put(
    `${root}/a.tar`,
    tarOf({name: '1.png', content: 'x'}, {name: '1.json', content: '{"label": 9007199254740993}'}),
  );
  const source = await openWebDataset(`${root}/a.tar`, {labelled: true});
  await expect(entriesOf(source)).rejects.toMatchObject({
    exitCode: 3,
    message: `The label in ${root}/a.tar#1.json is a number with more digits than numbers keep, so that two of them may become one class: write it in quotes.`,
  });
});
