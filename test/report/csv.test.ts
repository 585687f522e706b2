import {expect, it} from 'vitest';
import {csv} from '../../src/report/csv.js';
import {table} from '../../src/report/table.js';

it('writes numbers as they are, and text that a spreadsheet takes for text', () => {
  expect(
    csv([
      ['class', 'score'],
      ['a, "b"', -1.5],
      ['=cmd|calc!A1', 0],
      ['+1', 1],
      ['-x', 2],
      ['@sum', 3],
      ['\tx', 4],
      ['a\u001b[31m\nb', 5],
    ]),
  ).toBe('class,score\n"a, ""b""",-1.5\n\'=cmd|calc!A1,0\n\'+1,1\n\'-x,2\n\'@sum,3\n\'\\x09x,4\na\\x1b[31m\\x0ab,5\n');
});

it('shows nothing raw in a table either', () => {
  expect(table(['class'], [['\u001b]0;pwned\u0007\nfake line']])).toBe('class\n\\x1b]0;pwned\\x07\\x0afake line');
});
