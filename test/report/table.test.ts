import {describe, expect, it} from 'vitest';
import {table} from '../../src/report/table.js';

describe('a table', () => {
  it('sets columns two spaces apart, as wide as their widest cell, without spaces at the ends of lines', () => {
    expect(
      table(
        ['class', 'kept'],
        [
          ['apple', '5'],
          ['aquarium fish', '1,000'],
        ],
      ).split('\n'),
    ).toEqual(['class          kept', 'apple          5', 'aquarium fish  1,000']);
  });

  it('aligns numbers right where it is told to', () => {
    expect(
      table(
        ['class', 'kept', ''],
        [
          ['apple', '5', 'short'],
          ['pear', '1,000', ''],
        ],
        {align: ['left', 'right']},
      ).split('\n'),
    ).toEqual(['class   kept', 'apple      5  short', 'pear   1,000']);
  });

  it('goes on below the last column where a terminal is narrower than its lines', () => {
    const lines = table(
      ['stage', 'reason'],
      [
        ['score', 'a reason that goes on and on'],
        ['select', 'short'],
      ],
      {width: 30},
    ).split('\n');
    expect(lines).toEqual(['stage   reason', 'score   a reason that goes on', '        and on', 'select  short']);
  });

  it('shows its header where there are no rows', () => expect(table(['run', 'stages'], [])).toBe('run  stages'));
});
