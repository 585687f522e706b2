/** The sources a run reads: recognised from its config, and a snapshot by which a later run notices that their files changed. */
import {createHash} from 'node:crypto';
import type {SourceSpec} from '../children/protocol.js';
import type {Config} from '../config.js';
import {ownFolders, type RunPaths} from '../home.js';
import {openSource, parseSource, type Source} from '../images/source.js';
import type {Role} from '../store/images.js';

export interface RunSource {
  readonly role: Role;
  /** As the config gives it. */
  readonly given: string;
  readonly spec: SourceSpec;
  readonly open: () => Promise<Source>;
  /**
   * A digest of the names, sizes and times of all its files, taken once a command: a pool may have millions of them. Nothing is
   * opened; the change time tells of a write that put the size and the modification time back.
   */
  readonly snapshot: () => Promise<string>;
}

/** What `unlabelled` calls the pictures that the labelled draw left over. */
export const REST = 'rest';

/** Recognises every source of a config. Throws a UserError for one that is not there or is no source of pictures. */
export async function recogniseSources(config: Config, {home, cache}: Pick<RunPaths, 'home' | 'cache'>, signal: AbortSignal): Promise<RunSource[]> {
  const given: [Role, string | null][] = [
    ['labelled', config.labelled.source],
    ['validation', config.validation.source],
    ['test', config.test],
    ...config.unlabelled.filter(source => source !== REST).map((source): [Role, string] => ['unlabelled', source]),
  ];
  const sources: RunSource[] = [];
  for (const [role, source] of given) {
    if (source === null) continue;
    const spec = await parseSource(source, process.cwd());
    let snapshot: Promise<string> | undefined;
    const open = () => openSource(spec, {labelled: role !== 'unlabelled', cache, ownFolders: ownFolders(home)});
    sources.push({role, given: source, spec, open, snapshot: () => (snapshot ??= open().then(opened => snapshotOf(opened, signal)))});
  }
  return sources;
}

/** Where an image lies in its source: the place that people see, less the source's root. */
export const placeOf = ({file, member}: {readonly file: string; readonly member: string | null}): string => (member === null ? file : `${file}#${member}`);

async function snapshotOf(source: Source, signal: AbortSignal): Promise<string> {
  // Folders are listed in no certain order, so the files' hashes are summed: 64 bits of each, as integers.
  let sum = 0n;
  let files = 0;
  for await (const {file, size, mtimeNs, ctimeNs} of source.files(signal)) {
    sum = BigInt.asUintN(64, sum + createHash('sha256').update(`${file}\0${size} ${mtimeNs} ${ctimeNs}`).digest().readBigUInt64LE());
    files++;
  }
  return `${files} files ${sum.toString(16).padStart(16, '0')}`;
}
