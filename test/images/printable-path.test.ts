import {mkdir, readdir, readFile, writeFile} from 'node:fs/promises';
import {describe, expect, it} from 'vitest';
import {fromPrintable, toPrintable} from '../../src/images/printable-path.js';
import {temporaryFolder} from './temporary-folder.js';

describe('printable paths', () => {
  it.each([
    ['plain/picture.jpg', 'plain/picture.jpg'],
    ['Äpfel/日本 🐈.png', 'Äpfel/日本 🐈.png'],
    ['two\nlines', 'two\\x0alines'],
    ['back\\slash', 'back\\x5cslash'],
    ['\u202egpj.exe', '\\xe2\\x80\\xaegpj.exe'],
    ['--help.jpg', '--help.jpg'],
  ])('show %j as %s, and can be reversed', (path, printable) => {
    expect(toPrintable(Buffer.from(path))).toBe(printable);
    expect(Buffer.from(fromPrintable(printable)).toString()).toBe(path);
  });

  it.each([
    [[0xff]],
    [[0x61, 0xc3]],
    [[0xc3, 0x28]],
    [[0xe2, 0x82, 0x41]],
    [[0xf0, 0x9f, 0x90]],
    [[0xed, 0xa0, 0x80]],
    [[0x5c, 0x78, 0x66, 0x66]],
  ])('keep the bytes %j, which are no text', bytes => {
    const printable = toPrintable(Buffer.from(bytes));
    expect(printable).toMatch(/^[\x20-\x7e]+$/);
    expect([...Buffer.from(fromPrintable(printable))]).toEqual(bytes);
  });

  it('reverse every pair of bytes', () => {
    for (let first = 0; first < 256; first++) {
      for (let second = 0; second < 256; second++) {
        const bytes = Buffer.from([first, second]);
        expect(bytes.equals(Buffer.from(fromPrintable(toPrintable(bytes))))).toBe(true);
      }
    }
  });

  it('open a file whose name is no UTF-8', async () => {
    const folder = await temporaryFolder();
    await mkdir(`${folder}/sub`);
    await writeFile(
      Buffer.concat([Buffer.from(`${folder}/sub/caf`), Buffer.from([0xe9]), Buffer.from('.jpg')]),
      'bytes',
    );
    const [name] = await readdir(`${folder}/sub`, {encoding: 'buffer'});
    const printable = toPrintable(name ?? Buffer.alloc(0));
    expect(printable).toBe('caf\\xe9.jpg');
    expect(await readFile(fromPrintable(`${folder}/sub/${printable}`), 'utf8')).toBe('bytes');
  });
});
