import {spawn, spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {mkdir, symlink} from 'node:fs/promises';
import {basename, dirname} from 'node:path';
import {text} from 'node:stream/consumers';
import {parquetWriteFile} from 'hyparquet-writer';
import {describe, expect, it, vi} from 'vitest';
import {openManifest} from '../../src/images/manifest.js';
import {entriesOf, filesOf} from './listed.js';
import {put} from './pictures.js';
import {temporaryFolder} from './temporary-folder.js';

async function images(): Promise<string> {
  const root = await temporaryFolder();
  await put(`${root}/a/1.png`, 'one');
  await put(`${root}/a/2, too.png`, 'two');
  return root;
}

const expected = [
  ['a/1.png', 'cat'],
  ['a/2, too.png', '7'],
];

describe('a manifest', () => {
  it('may be CSV, with a byte order mark, quotes and other columns', async () => {
    const root = await images();
    await put(`${root}/list.csv`, '\ufeffid,path,label\r\n1,a/1.png,cat\r\n2,"a/2, too.png",7\r\n');
    const source = openManifest(`${root}/list.csv`, {labelled: true});
    expect((await entriesOf(source)).map(({file, label}) => [file, label])).toEqual(expected);
    expect((await filesOf(source)).map(({file}) => file)).toEqual(['a/1.png', 'a/2, too.png', 'list.csv']);
  });

  it('may be JSON lines, where a label may be a number', async () => {
    const root = await images();
    await put(
      `${root}/list.jsonl`,
      '{"path": "a/1.png", "label": "cat", "caption": "one\u2028two"}\r\n\n{"path": "./a/../a/2, too.png", "label": 7, "more": []}\n',
    );
    expect(
      (await entriesOf(openManifest(`${root}/list.jsonl`, {labelled: true}))).map(({file, label}) => [file, label]),
    ).toEqual(expected);
  });

  it('may be Parquet', async () => {
    const root = await images();
    parquetWriteFile({
      filename: `${root}/list.parquet`,
      columnData: [
        {name: 'path', data: ['a/1.png', 'a/2, too.png'], type: 'STRING'},
        {name: 'label', data: ['cat', '7'], type: 'STRING'},
        {name: 'junk', data: [1, 2], type: 'INT32'},
      ],
    });
    expect(
      (await entriesOf(openManifest(`${root}/list.parquet`, {labelled: true}))).map(({file, label}) => [file, label]),
    ).toEqual(expected);
  });

  describe('of Parquet, read in a process of its own,', () => {
    /** A list of so many rows, the same picture each time. */
    async function list(rows: number): Promise<string> {
      const root = await images();
      const column = (name: string, value: string) => ({
        name,
        data: Array.from({length: rows}, () => value),
        type: 'STRING' as const,
      });
      parquetWriteFile({
        filename: `${root}/list.parquet`,
        columnData: [column('path', 'a/1.png'), column('label', 'cat')],
      });
      return `${root}/list.parquet`;
    }

    it('is left at once when it is to stop, whatever that process does', async () => {
      const stop = new AbortController();
      const entries = openManifest(await list(1), {labelled: true})
        .entries(stop.signal)
        [Symbol.asyncIterator]();
      const first = entries.next();
      const readers = () =>
        spawnSync('pgrep', ['-P', String(process.pid), '-f', 'parquet-reader'], {encoding: 'utf8'})
          .stdout.split('\n')
          .filter(Boolean)
          .map(Number);
      await expect.poll(readers).toHaveLength(1);
      for (const reader of readers()) process.kill(reader, 'SIGSTOP');
      stop.abort(new Error('enough'));
      await expect(first).rejects.toThrow('enough');
      expect(readers()).toEqual([]);
    });

    it('gets no more of the environment than other children', async () => {
      const file = await list(1);
      const [told, script] = [`${dirname(file)}/told`, `${dirname(file)}/tell.cjs`];
      await put(script, `require('fs').writeFileSync(${JSON.stringify(told)}, '')`);
      vi.stubEnv('NODE_OPTIONS', `--require=${script}`);
      expect(await entriesOf(openManifest(file, {labelled: true}))).toHaveLength(1);
      vi.unstubAllEnvs();
      expect(existsSync(told)).toBe(false);
    });

    it('is read on where the terminal sends Ctrl-C to all, and the reader of the list is not to stop', async () => {
      const file = await list(10_001);
      const script = `${dirname(file)}/read.mjs`;
      // Ctrl-C as a terminal sends it: to the group of the one who reads, after the first row.
      await put(
        script,
        `import {openManifest} from ${JSON.stringify(new URL('../../dist/images/manifest.js', import.meta.url).href)};
        let rows = 0;
        process.on('SIGINT', () => {});
        for await (const lot of openManifest(${JSON.stringify(file)}, {labelled: true}).entries(new AbortController().signal)) {
          if (rows === 0) process.kill(-process.pid, 'SIGINT');
          rows += lot.length;
        }
        console.log(rows);`,
      );
      const reader = spawn(process.execPath, [script], {detached: true, stdio: ['ignore', 'pipe', 'pipe']});
      expect([await text(reader.stdout), await text(reader.stderr)]).toEqual(['10001\n', '']);
    });
  });

  it('takes no number for a class that numbers do not keep exactly', async () => {
    const root = await images();
    await put(`${root}/list.jsonl`, '{"path": "a/1.png", "label": 9007199254740993}\n');
    await expect(entriesOf(openManifest(`${root}/list.jsonl`, {labelled: true}))).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(
        /^Line 1 of .*list\.jsonl cannot be used \(label: a number with more digits than numbers keep, .*write it in quotes\)/,
      ) as string,
    });
    await put(
      `${root}/list.jsonl`,
      '{"path": "a/1.png", "label": "9007199254740993"}\n{"path": "a/1.png", "label": 9007199254740991}\n',
    );
    expect((await entriesOf(openManifest(`${root}/list.jsonl`, {labelled: true}))).map(({label}) => label)).toEqual([
      '9007199254740993',
      '9007199254740991',
    ]);
  });

  it.each(['plain', 'link'])(
    'finds what its paths name in roundabout ways, listed in a folder that is %s',
    async kind => {
      const root = await images();
      const folder = kind === 'plain' ? root : `${await temporaryFolder()}/link`;
      if (kind === 'link') await symlink(root, folder);
      await put(
        `${root}/list.csv`,
        `path,label\n../${basename(folder)}/a/1.png,cat\n${root}/a/1.png,cat\n${folder}/a/1.png,cat\na/../a/1.png,cat\n`,
      );
      const source = openManifest(`${folder}/list.csv`, {labelled: true});
      expect((await entriesOf(source)).map(({file, problem}) => [file, problem])).toEqual(
        Array(4).fill(['a/1.png', null]),
      );
      expect((await filesOf(source)).map(({file}) => file)).toEqual([
        'a/1.png',
        'a/1.png',
        'a/1.png',
        'a/1.png',
        'list.csv',
      ]);
    },
  );

  it('leaves out hidden and service files that it lists, and counts them', async () => {
    const root = await images();
    for (const file of ['a/._1.png', '@eaDir/1.png']) await put(`${root}/${file}`, file);
    await put(`${root}/list.csv`, 'path,label\na/._1.png,cat\na/1.png,cat\n@eaDir/1.png,cat\n');
    const source = openManifest(`${root}/list.csv`, {labelled: true});
    expect((await entriesOf(source)).map(({file}) => file)).toEqual(['a/1.png']);
    expect(source.notes).toEqual(['2 listed hidden or service files (such as a/._1.png) left out']);
  });

  it('sets aside what is not there, leads out, has no label or is no file', async () => {
    const root = await images();
    const outside = await temporaryFolder();
    await put(`${outside}/secret.png`, 'x');
    await symlink(`${outside}/secret.png`, `${root}/link.png`);
    await mkdir(`${root}/folder.png`);
    await put(
      `${root}/list.csv`,
      `path,label\na/1.png,\ngone.png,cat\n../up.png,cat\n${outside}/secret.png,cat\n${root}/a/1.png,cat\nlink.png,cat\nfolder.png,cat\n`,
    );
    const entries = await entriesOf(openManifest(`${root}/list.csv`, {labelled: true}));
    const codes = entries.map(({file, problem}) => `${file.replace(outside, 'OUTSIDE')} ${problem?.code}`);
    expect(codes.sort()).toEqual(
      [
        '../up.png OUTSIDE_ROOT',
        'OUTSIDE/secret.png OUTSIDE_ROOT',
        'a/1.png NO_LABEL',
        'a/1.png undefined',
        'folder.png NOT_A_FILE',
        'gone.png UNREADABLE',
        'link.png OUTSIDE_ROOT',
      ].sort(),
    );
  });

  it.each([
    [
      'list.csv',
      'file,label\na/1.png,cat\n',
      /Line 1 of .*list\.csv cannot be used \(its columns are "file", "label"\)\. Expected columns "path" and "label"/,
    ],
    ['list.csv', 'path,label\na/1.png,cat\n"unclosed\n', /Line \d of .*list\.csv cannot be used/],
    ['list.jsonl', '{"path": "a/1.png"}\nnot json\n', /Line 2 of .*list\.jsonl cannot be used/],
    ['list.csv', 'path;label\na/1.png;cat\n', /its columns are "path;label"; it seems to be separated by semicolons/],
    ['list.csv', 'path,label,label\na/1.png,cat,dog\n', /the column "label" comes twice/],
    [
      'list.csv',
      Buffer.from('path,label\na/1.png,h\xf6r\n', 'latin1'),
      /list\.csv: line 2 is no UTF-8 text \(byte 0xf6\)/,
    ],
    ['list.jsonl', '["a/1.png"]\n', /Line 1 of .*list\.jsonl cannot be used/],
    ['list.parquet', 'no parquet', /list\.parquet cannot be used/],
  ])('in %s that reads %j names the row', async (name, content, message) => {
    const root = await images();
    await put(`${root}/${name}`, content);
    await expect(entriesOf(openManifest(`${root}/${name}`, {labelled: true}))).rejects.toThrow(message);
  });
});
