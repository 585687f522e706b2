import {Readable} from 'node:stream';
import {describe, expect, it} from 'vitest';
import {decodeLines, decodeText, NotText} from '../../src/files/text.js';

/** The lines of bytes that come in chunks of a size. */
async function lines(bytes: Buffer, chunk: number): Promise<string[]> {
  const chunks = Array.from({length: Math.ceil(bytes.length / chunk)}, (_, index) =>
    bytes.subarray(index * chunk, (index + 1) * chunk),
  );
  const found: string[] = [];
  for await (const line of decodeLines(Readable.from(chunks))) found.push(line);
  return found;
}

const refusalOf = (bytes: Buffer): NotText => {
  try {
    decodeText(bytes);
  } catch (error) {
    if (error instanceof NotText) return error;
    throw error;
  }
  throw new Error('It was read.');
};

const latin = Buffer.from('cat\nh\xf6r\ndog\n', 'latin1');

describe('text', () => {
  it.each([1, 2, 3, 5, 100])(
    'is UTF-8 with or without a mark, wherever it is cut (chunks of %i bytes)',
    async chunk => {
      expect(await lines(Buffer.from('\ufeffca\u0302t\r\n\nü\u{1f408}\u2028x'), chunk)).toEqual([
        'ca\u0302t',
        '',
        'ü\u{1f408}\u2028x',
      ]);
      expect(await lines(Buffer.from('a\n\ufeffb\n'), chunk)).toEqual(['a', '\ufeffb']);
    },
  );

  it.each([1, 4, 100])('that is none is refused with its line (chunks of %i bytes)', async chunk => {
    await expect(lines(latin, chunk)).rejects.toMatchObject({
      name: 'NotText',
      line: 2,
      message: expect.stringMatching(/^line 2 is no UTF-8 text \(byte 0xf6\).* iconv -f WINDOWS-1252 /) as string,
    });
    await expect(lines(Buffer.from('ok\ncut off: \xc3', 'latin1'), chunk)).rejects.toMatchObject({line: 2});
  });

  it('is refused as a whole in the same words', () => {
    expect(refusalOf(latin)).toMatchObject({line: 2, message: expect.stringContaining('byte 0xf6') as string});
    for (const mark of ['\ufeff', ''])
      expect(refusalOf(Buffer.from(`${mark}cat\n`, 'utf16le')).message).toMatch(/^line 1 .* UTF-16.*iconv -f UTF-16/);
    expect(decodeText(Buffer.from('\ufeffcat\n'))).toBe('cat\n');
  });
});
