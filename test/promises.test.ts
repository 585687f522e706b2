/**
 * Holds promises.md to the tests: each promise has a proof that is there, or is counted among those that have none yet.
 */
import {existsSync, readFileSync} from 'node:fs';
import path from 'node:path';
import {describe, expect, it} from 'vitest';

/** Promises without a test: lowered with each that gets one, never raised. */
const NONE_YET = 5;

const root = path.join(import.meta.dirname, '..');
const isRow = (line: string) => line.startsWith('|') && !/^\|[-|]+\|$/.test(line);
const cellsOf = (row: string) =>
  row
    .slice(1, -1)
    .split('|')
    .map(cell => cell.trim());

/** The rows of every table of a page, under the heading above it; the first of each names its columns. */
function tablesOf(markdown: string): Map<string, string[][]> {
  const tables = new Map<string, string[][]>();
  for (const section of markdown.split(/^## /m).slice(1)) {
    const [heading = '', ...lines] = section.split('\n');
    tables.set(heading, lines.filter(isRow).slice(1).map(cellsOf));
  }
  return tables;
}

/** Where a test begins in a file: its title, the title of a table of cases, or the name of one case. */
const isTitle = (line: string) => /^\s*(?:(?:it|describe)\b|\]\)\(|\[?['"`])/.test(line);

/** What is wrong with one proof, or null. */
function faultOf(proof: string): string | null {
  const [, file = '', separator, name = ''] = /^(\S+?\.(?:ts|py))( > |::)(.+)$/.exec(proof) ?? [];
  if (!existsSync(path.join(root, file)) || file === '') return `${proof}: no such file`;
  const lines = readFileSync(path.join(root, file), 'utf8').replaceAll("\\'", "'").split('\n');
  const found =
    separator === '::'
      ? lines.filter(line => line.startsWith(`def ${name}(`))
      : lines.filter(line => isTitle(line) && line.includes(name));
  return found.length === 1 ? null : `${proof}: ${found.length} tests of that name`;
}

const tables = tablesOf(readFileSync(path.join(root, 'test/promises.md'), 'utf8'));
const rows = [...tables].flatMap(([heading, table]) => table.map(cells => ({heading, cells})));
const isOpen = ({cells}: {cells: string[]}) => cells[2]?.startsWith('none yet: ') ?? false;

describe('the promises', () => {
  it('have what happens, what is promised and its proof each', () => {
    expect(rows.length).toBeGreaterThan(180);
    expect(rows.filter(({cells}) => cells.length !== 3 || cells.includes('')).map(({cells}) => cells)).toEqual([]);
  });

  it('are proved by tests that are there', () => {
    const faults = rows
      .filter(row => !isOpen(row))
      .flatMap(({cells: [what, , proof = '']}) => {
        const proofs = [...proof.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
        return proofs.length === 0 ? [`${what}: no proof`] : proofs.map(faultOf);
      });
    expect(faults.filter(fault => fault !== null)).toEqual([]);
  });

  it('that have no test yet do not become more', () => {
    const open = rows.filter(isOpen).map(({heading, cells: [what]}) => `${heading}: ${what}`);
    expect(open.length, open.join('\n')).toBeLessThanOrEqual(NONE_YET);
  });
});

/** What was promised when the program was designed lies beside the data of the tests, where that is. */
const design = path.join(process.env['PUPIL_TEST_DATA'] ?? '', '../design/promises.md');
const isThere = process.env['PUPIL_TEST_DATA'] !== undefined && existsSync(design);
if (!isThere) console.warn('SKIPPED: PUPIL_TEST_DATA names no folder beside the promises of the design.');

it.skipIf(!isThere)('every promise of the design has a row', () => {
  const beginningOf = (input: string) => (input.match(/[\w-]+/g) ?? []).slice(0, 2).join(' ').toLowerCase();
  const missing: string[] = [];
  const designed = readFileSync(design, 'utf8');
  for (const [heading, table] of tablesOf(designed)) {
    const ours = (tables.get(heading) ?? []).map(([what = '']) => what.toLowerCase().replace(/[^\w-]+/g, ' '));
    if (ours.length === 0) missing.push(heading);
    for (const [inputs = ''] of table) {
      for (const input of inputs.split(';').map(beginningOf))
        if (!ours.some(what => ` ${what} `.includes(` ${input} `))) missing.push(`${heading}: ${input}`);
    }
  }
  expect(missing).toEqual([]);
});
