import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {readdir, readFile, writeFile} from 'node:fs/promises';
import {describe, expect, it} from 'vitest';
import {publishFile, publishFolder} from '../../src/files/publish.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const publisher = new URL('../../dist/files/publish.js', import.meta.url);

describe('publishing', () => {
  it('leaves the old version where writing the new one fails', async () => {
    const folder = await temporaryFolder();
    await publishFile(`${folder}/file`, temporary => writeFile(temporary, 'old'));
    await expect(
      publishFile(`${folder}/file`, async temporary => {
        await writeFile(temporary, 'half');
        throw new Error('disk full');
      }),
    ).rejects.toThrow('disk full');
    expect(await readFile(`${folder}/file`, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('clears what an earlier, killed attempt left', async () => {
    const folder = await temporaryFolder();
    await writeFile(`${folder}/pack.tmp`, 'left behind');
    await publishFolder(`${folder}/pack`, temporary => writeFile(`${temporary}/a`, 'new'));
    expect(await readdir(folder)).toEqual(['pack']);
    expect(await readdir(`${folder}/pack`)).toEqual(['a']);
  });

  it('shows a whole file or none, killed at any moment', async () => {
    const folder = await temporaryFolder();
    const program = `
      import {publishFile} from ${JSON.stringify(publisher.href)};
      import {writeFile} from 'node:fs/promises';
      console.log('ready');
      for (let version = 0; ; version++) await publishFile(${JSON.stringify(`${folder}/file`)}, temporary => writeFile(temporary, String(version % 10).repeat(200_000)));
    `;
    for (let attempt = 0; attempt < 12; attempt++) {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      await new Promise(resolve => setTimeout(resolve, 5 + attempt * 7));
      child.kill('SIGKILL');
      await once(child, 'exit');
      const found = await readFile(`${folder}/file`, 'utf8').catch(() => null);
      if (found !== null) expect([found.length, new Set(found).size]).toEqual([200_000, 1]);
    }
    expect((await readdir(folder)).filter(name => name.startsWith('file')).length).toBeLessThanOrEqual(2);
  });
});
