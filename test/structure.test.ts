import {readdirSync, readFileSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';
import {describe, expect, it} from 'vitest';

const src = fileURLToPath(new URL('../src/', import.meta.url));

/**
 * The floors of the house from the top: what stands on one imports from lower ones only. A file of src/ itself stands
 * for itself.
 */
const floors = [
  ['main'],
  ['cli'],
  ['commands', 'arguments'],
  ['app'],
  ['queries'],
  ['stages'],
  ['pipeline', 'worker', 'datasets'],
  ['store', 'report'],
  ['config', 'images'],
  ['pool'],
  ['children'],
  ['files'],
  ['machine-fault'],
  ['words', 'home', 'compiled-packages'],
  ['events'],
  ['errors', 'ranking', 'printable', 'did-you-mean', 'lines'],
];

const roomOf = (file: string): string => file.split('/')[0]!.replace(/\.ts$/, '');
const floorOf = (file: string): number => floors.findIndex(floor => floor.includes(roomOf(file)));

/** The files of src/ that a file imports, with types and what is loaded later. */
const importsOf = (file: string): string[] =>
  ts
    .preProcessFile(readFileSync(path.join(src, file), 'utf8'))
    .importedFiles.filter(({fileName}) => fileName.startsWith('.'))
    .map(({fileName}) => path.join(path.dirname(file), fileName.replace(/\.js$/, '.ts')))
    .filter(imported => !imported.startsWith('..'));

const files = readdirSync(src, {recursive: true, encoding: 'utf8'}).filter(
  file => file.endsWith('.ts') && !file.endsWith('.d.ts'),
);
const imports = new Map(files.map(file => [file, importsOf(file)]));

/** The files of a circle that can be entered at `file`; empty where there is none. */
function circleFrom(file: string, trail: readonly string[], done: Set<string>): readonly string[] {
  if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file];
  if (done.has(file)) return [];
  for (const imported of imports.get(file) ?? []) {
    const found = circleFrom(imported, [...trail, file], done);
    if (found.length > 0) return found;
  }
  done.add(file);
  return [];
}

describe('the imports of src/', () => {
  it('come from every room, and name files that are there', () => {
    expect(imports.size).toBeGreaterThan(150);
    expect(
      [...imports].flatMap(([file, found]) =>
        found
          .filter(imported => !imports.has(imported) && !imported.endsWith('.d.ts'))
          .map(imported => `${file} imports ${imported}`),
      ),
    ).toEqual([]);
    expect([...new Set([...imports.keys()].map(roomOf))].toSorted()).toEqual(floors.flat().toSorted());
  });

  it('run downwards, floor by floor', () => {
    const upward = [...imports].flatMap(([file, found]) =>
      found
        .filter(imported => roomOf(imported) !== roomOf(file) && floorOf(imported) <= floorOf(file))
        .map(imported => `${file} imports ${imported}`),
    );
    expect(upward).toEqual([]);
  });

  it('go in no circle', () => {
    const done = new Set<string>();
    expect([...imports.keys()].map(file => circleFrom(file, [], done)).filter(circle => circle.length > 0)).toEqual([]);
  });
});
