/** Settles the classes of a run by the labels of its sets. */
import {readdir} from 'node:fs/promises';
import {UserError} from '../errors.js';
import {lookAlikes, quoted} from '../images/class-name.js';
import {fromPrintable} from '../images/printable-path.js';
import {isServiceName} from '../images/service-files.js';
import type {Role} from '../store/images.js';
import {plural} from '../words.js';
import type {RunSource} from './sources.js';

/** Names shown in a message before the rest is counted. */
const NAMES_SHOWN = 10;

/** Names as a message shows them. */
export const list = (names: readonly string[]): string =>
  names.slice(0, NAMES_SHOWN).join(', ') +
  (names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '');

/**
 * The class list is the labelled source's, in its order; every other labelled set must have the same names. `declared`
 * is what the labelled source says of its classes, null where only its pictures tell; `labels` are those of the
 * pictures of a set. Throws (exit 3) where they do not agree.
 */
export async function agreeOnClasses(
  sources: readonly Pick<RunSource, 'role' | 'given' | 'spec'>[],
  declared: readonly string[] | null,
  labels: (role: Role) => ReadonlyMap<string, number>,
): Promise<readonly string[]> {
  const given = (role: Role) => sources.find(source => source.role === role)?.given ?? '';
  const found = labels('labelled');
  const classes = declared ?? sortNames([...found.keys()]);
  if (found.size === 0)
    throw new UserError(
      'BAD_CLASSES',
      `No labelled pictures in ${given('labelled')}. Expected one folder a class, such as cat/1.jpg and dog/7.jpg.`,
    );
  const empty = classes.filter(name => !found.has(name));
  if (empty.length > 0)
    throw new UserError(
      'BAD_CLASSES',
      `No usable pictures in ${plural(empty.length, 'class', 'classes')} of ${given('labelled')}: ${list(empty)}. Add pictures or remove the class.`,
    );
  if (classes.length === 1)
    throw new UserError(
      'BAD_CLASSES',
      `${given('labelled')} has one class only (${classes[0]}). Expected at least two${await hintOfNested(sources, classes[0]!)}.`,
    );
  const twins = lookAlikes(classes);
  if (twins !== null) {
    const [first, second] = twins;
    const difference =
      first.toLowerCase() === second.toLowerCase()
        ? `The classes ${first} and ${second} of ${given('labelled')} differ by case only`
        : `The classes ${quoted(first)} and ${quoted(second)} of ${given('labelled')} read the same but are not`;
    throw new UserError('BAD_CLASSES', `${difference}. Rename or merge them.`);
  }
  for (const role of ['validation', 'test'] as const) {
    if (!sources.some(source => source.role === role)) continue;
    const names = labels(role);
    const unknown = [...names.keys()].filter(name => !found.has(name));
    const missing = classes.filter(name => !names.has(name));
    if (unknown.length > 0 || missing.length > 0) {
      throw new UserError(
        'BAD_CLASSES',
        `The classes of the ${role} set ${given(role)} are not those of the labelled set ${given('labelled')}.` +
          (unknown.length > 0 ? `\n  only in ${role}: ${list(unknown)}` : '') +
          (missing.length > 0 ? `\n  missing from ${role}: ${list(missing)}` : '') +
          `\nClasses are matched by name; rename the folders so that both sets have the same ${classes.length} names.`,
      );
    }
  }
  return classes;
}

/** Where all pictures lie in folders of the only class folder, those may be what was meant. */
async function hintOfNested(sources: readonly Pick<RunSource, 'role' | 'spec'>[], name: string): Promise<string> {
  const spec = sources.find(({role}) => role === 'labelled')?.spec;
  if (spec?.kind !== 'folder') return '';
  const inside = await readdir(fromPrintable(`${spec.path}/${name}`), {withFileTypes: true}).catch(() => []);
  const folders = inside.filter(child => child.isDirectory() && !isServiceName(child.name)).map(child => child.name);
  return folders.length > 1
    ? `: each folder is a class. ${spec.path}/${name} has ${folders.length} folders (${list(folders)}): is that what you mean`
    : '';
}

/** Numbers in order of value, all else in order of code points. */
const sortNames = (names: string[]): string[] =>
  names.every(name => /^\d+$/.test(name))
    ? names.sort((a, b) => Number(a) - Number(b))
    : names.sort((a, b) => (a < b ? -1 : 1));
