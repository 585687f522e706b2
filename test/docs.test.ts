import {execFileSync} from 'node:child_process';
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import Database from 'better-sqlite3';
import {describe, expect, it} from 'vitest';
import {errorCodes} from '../src/errors.js';
import {openStore} from '../src/store/open.js';
import {temporaryFolder} from './images/temporary-folder.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const pages = ['README.md', ...readdirSync(path.join(root, 'docs')).map(name => `docs/${name}`)];
const textOf = (page: string) => readFileSync(path.join(root, page), 'utf8');

/** Headings as GitHub links to them. */
const anchorsOf = (page: string) =>
  [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );

describe('the documentation', () => {
  it('leads to pages and headings that are there', () => {
    const links = pages.flatMap(page =>
      [...textOf(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, link = '']) => ({page, link})),
    );
    expect(links.length).toBeGreaterThan(15);
    const broken = links.filter(({page, link}) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? page : path.join(path.dirname(page), file);
      return !existsSync(path.join(root, target)) || (anchor !== undefined && !anchorsOf(target).includes(anchor));
    });
    expect(broken).toEqual([]);
  });

  it('begins with a page that is read in a few minutes, from which every other can be reached', () => {
    const first = textOf('README.md');
    expect(first.split('\n').length).toBeLessThanOrEqual(150);
    expect(pages.slice(1).filter(page => !first.includes(`(${page}`))).toEqual([]);
  });

  it('has every key of the configuration as the schema has it, for people and for editors', () => {
    expect(execFileSync(process.execPath, [path.join(root, 'scripts/schema.mjs'), '--check'], {encoding: 'utf8'})).toBe(
      '',
    );
  });

  it('names every code that a failure may have, beside its exit code', () => {
    const table = textOf('docs/STATE.md');
    const missing = Object.entries(errorCodes).filter(
      ([code, exitCode]) => !new RegExp(`^\\| [^|]*\\b${exitCode}\\b[^|]*\\|.*\`${code}\``, 'm').test(table),
    );
    expect(missing).toEqual([]);
  });

  it('asks a run’s database only what its views answer', async () => {
    const file = path.join(await temporaryFolder(), 'run.sqlite');
    openStore(file).close();
    const connection = new Database(file, {readonly: true});
    const queries = [...textOf('docs/STATE.md').matchAll(/```sql\n([^]*?)```/g)].flatMap(([, block = '']) =>
      block.split(/;\n/).filter(query => query.trim() !== ''),
    );
    expect(queries.length).toBeGreaterThan(4);
    for (const query of queries) expect(connection.prepare(query).all(), query).toEqual([]);
    connection.close();
  });
});
