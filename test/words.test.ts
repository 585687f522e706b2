import {describe, expect, it} from 'vitest';
import {busiestPart, busyParts, bytes, count, duration, percent, plural, rate} from '../src/words.js';

describe('numbers in words', () => {
  it.each([
    [0, '0.0 s'],
    [9.94, '9.9 s'],
    [12.3, '12 s'],
    [99.4, '99 s'],
    [754, '12 min 34 s'],
    [5969, '99 min 29 s'],
    [6000, '1 h 40 min'],
    [9000, '2 h 30 min'],
    [90_061, '25 h 1 min'],
  ])('tells %s seconds as %s', (seconds, words) => expect(duration(seconds)).toBe(words));

  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1 kB'],
    [12_345_678, '12.3 MB'],
    [2e9, '2 GB'],
    [5e15, '5,000 TB'],
  ])('tells %s bytes as %s', (value, words) => expect(bytes(value)).toBe(words));

  it('tells the parts of scoring by how busy they were', () => {
    const shares = {reading: 0.031, decoding: 0.6, inferring: 0.984, writing: 0};
    expect(busyParts(shares)).toBe('busy: network 98 %, decoding 60 %, reading 3 %, writing 0 %');
    expect(busiestPart(shares)).toBe('network 98 % busy');
  });

  it('groups thousands', () => expect(count(1_234_567)).toBe('1,234,567'));

  it('counts one thing and several things', () => {
    expect(plural(1, 'image')).toBe('1 image');
    expect(plural(0, 'image')).toBe('0 images');
    expect(plural(3000, 'class', 'classes')).toBe('3,000 classes');
  });

  it('tells fractions as percent with one decimal, and rates with three digits', () => {
    expect(percent(0.41234)).toBe('41.2 %');
    expect(percent(1)).toBe('100.0 %');
    expect(rate(9123.4)).toBe('9,120');
    expect(rate(0.4567)).toBe('0.457');
  });
});
