import {describe, expect, it} from 'vitest';
import {table} from '../../src/report/table.js';

describe('a table', () => {
  it('sets columns two spaces apart, as wide as their widest cell, without spaces at the ends of lines', () => {
    expect(table(['class', 'kept'], [['apple', '5'], ['aquarium fish', '1,000']]).split('\n')).toEqual([
      'class          kept',
      'apple          5',
      'aquarium fish  1,000',
    ]);
  });

  it('aligns numbers right where it is told to', () => {
    expect(table(['class', 'kept', ''], [['apple', '5', 'short'], ['pear', '1,000', '']], {align: ['left', 'right']}).split('\n')).toEqual([
      'class   kept',
      'apple      5  short',
      'pear   1,000',
    ]);
  });

  it('cuts lines that are longer than the terminal, and marks the cut', () => {
    const lines = table(['stage', 'reason'], [['score', 'a reason that goes on and on']], {width: 20}).split('\n');
    expect(lines).toEqual(['stage  reason', 'score  a reason t...']);
    expect(Math.max(...lines.map(line => line.length))).toBe(20);
  });

  it('shows its header where there are no rows', () => expect(table(['run', 'stages'], [])).toBe('run  stages'));
});
