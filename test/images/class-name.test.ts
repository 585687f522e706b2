import {describe, expect, it} from 'vitest';
import {className, lookAlikes, quoted} from '../../src/images/class-name.js';
import {put} from './pictures.js';
import {temporaryFolder} from './temporary-folder.js';
import {listingOf} from '../worker/listing-of.js';

describe('a class name', () => {
  it('is composed, and has no blanks at its ends', () => {
    expect(['cha\u0302teau', ' cat\u00a0', 'tabby cat', '猫', '👩‍👧', 'a\\b'].map(name => className(name, 'x'))).toEqual([
      'ch\u00e2teau',
      'cat',
      'tabby cat',
      '猫',
      '👩‍👧',
      'a\\b',
    ]);
  });

  it.each([
    ['\u001b[31mred', /^The class name "\\x1b\[31mred" of list\.csv holds U\+001B\. /],
    ['a\nb', /"a\\x0ab" of list\.csv holds U\+000A/],
    ['a\u202eb\u2028', /holds U\+202E, U\+2028/],
    ['h\ufffdr', /holds U\+FFFD/],
    ['half \ud83d', /holds U\+D83D/],
  ])('%j is refused by its code points (exit 3)', (name, message) => {
    expect(() => className(name, 'list.csv')).toThrow(
      expect.objectContaining({exitCode: 3, message: expect.stringMatching(message) as string}) as Error,
    );
  });

  it('is told from one that reads the same', () => {
    for (const twins of [
      ['cat', 'Cat'],
      ['ice\u00a0cream', 'ice cream'],
      ['cat', 'c\u200bat'],
    ] as const)
      expect(lookAlikes(['dog', ...twins])).toEqual(twins);
    expect(lookAlikes(['cat', 'cats', 'cat 2', 'm2', 'm²', 'o', 'ö'])).toBeNull();
    expect(quoted('ice\u00a0cre\u200bam e\u0301')).toBe('"ice\\u{a0}cre\\u{200b}am e\\u{301}"');
  });

  it('has one form whatever kind of source it comes from, and what was changed is said', async () => {
    const root = await temporaryFolder();
    for (const [index, name] of ['cha\u0302teau', 'ch\u00e2teau', 'cat '].entries())
      await put(`${root}/folder/${name}/${index}.png`, name);
    await put(
      `${root}/list.jsonl`,
      ['cha\u0302teau', 'ch\u00e2teau', 'cat ']
        .map((label, index) => JSON.stringify({path: `folder/${label}/${index}.png`, label}))
        .join('\n'),
    );
    for (const spec of ['folder', 'list.jsonl']) {
      const {classes, notes, pictures} = await listingOf(root, spec);
      expect(classes).toEqual(['cat', 'ch\u00e2teau']);
      expect(pictures).toHaveLength(3);
      expect(notes).toEqual([
        expect.stringMatching(
          /^2 class names were brought to one form \(Unicode NFC, no blanks at the ends\): ".*" is ".*", for example$/,
        ),
      ]);
    }
    await put(`${root}/bad/a\nb/1.png`, 'x');
    await expect(listingOf(root, 'bad')).rejects.toMatchObject({exitCode: 3});
  });
});
