/** A store on a real file for one test, and images to fill it with. */
import {createHash} from 'node:crypto';
import path from 'node:path';
import Database from 'better-sqlite3';
import {onTestFinished} from 'vitest';
import type {IndexEntry} from '../../src/children/protocol.js';
import type {LocatedImage, Role} from '../../src/store/images.js';
import {openStore, type Store} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';

export async function newStore(): Promise<{store: Store; file: string}> {
  const file = path.join(await temporaryFolder(), 'db', 'run.sqlite');
  const store = openStore(file);
  onTestFinished(() => store.close());
  return {store, file};
}

/** What SQL finds in a database that a store has open. */
export function query(file: string, sql: string, ...parameters: (string | number)[]): Record<string, unknown>[] {
  const connection = new Database(file, {readonly: true});
  try {
    return connection.prepare<(string | number)[], Record<string, unknown>>(sql).all(...parameters);
  } finally {
    connection.close();
  }
}

export const imageId = (content: string | number): string =>
  createHash('sha256').update(String(content)).digest('hex').slice(0, 24);

/** An image as a folder source lists it: `content` decides its id. */
export const entry = (content: string | number, file: string, label: string | null = null): IndexEntry => ({
  file,
  member: null,
  offset: null,
  length: null,
  encoding: 'encoded',
  label,
  id: imageId(content),
  problem: null,
});

/** Adds a source of a role with these images; its root is `/ROLE`. */
export function addSource(store: Store, role: Role, entries: readonly IndexEntry[]): number {
  const source = store.images.addSource(role, {kind: 'folder', path: `/${role}`, split: null}, `/${role}`);
  store.atomically(() => entries.forEach(listed => store.images.addEntry(source, listed)));
  return source;
}

/** The images of the pool in the order in which they were listed. */
export const inPool = (store: Store): LocatedImage[] =>
  store.images.poolSample(Number.MAX_SAFE_INTEGER).sort((a, b) => a.key - b.key);

/** `perClass` images of each class; contents are `CLASS 0`, `CLASS 1`, ... */
export const labelled = (classes: readonly string[], perClass: number): IndexEntry[] =>
  classes.flatMap(name =>
    Array.from({length: perClass}, (_, number) => entry(`${name} ${number}`, `${name}/${number}.png`, name)),
  );
