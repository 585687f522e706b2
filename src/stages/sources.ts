/** The sources a run reads: recognised from its config, and a snapshot by which a later run notices that their files changed. */
import {createHash} from 'node:crypto';
import type {SourceSpec} from '../children/protocol.js';
import type {Config} from '../config.js';
import {openSource, parseSource} from '../images/source.js';
import type {Role} from '../store/images.js';

export interface RunSource {
  readonly role: Role;
  /** As the config gives it. */
  readonly given: string;
  readonly spec: SourceSpec;
}

/** What `unlabelled` calls the pictures that the labelled draw left over. */
export const REST = 'rest';

/** Recognises every source of a config. Throws a UserError for one that is not there or is no source of pictures. */
export async function recogniseSources(config: Config): Promise<RunSource[]> {
  const given: [Role, string | null][] = [
    ['labelled', config.labelled.source],
    ['validation', config.validation.source],
    ['test', config.test],
    ...config.unlabelled.filter(source => source !== REST).map((source): [Role, string] => ['unlabelled', source]),
  ];
  const sources: RunSource[] = [];
  for (const [role, source] of given) if (source !== null) sources.push({role, given: source, spec: await parseSource(source, process.cwd())});
  return sources;
}

/**
 * A digest of the names, sizes and times of all files of a source. Nothing is opened; the change time tells of a write that
 * put the size and the modification time back.
 */
export async function snapshotOf({role, spec}: RunSource, cache: string, signal: AbortSignal): Promise<string> {
  const source = await openSource(spec, {labelled: role !== 'unlabelled', cache});
  // Folders are listed in no certain order, so the files' hashes are summed: 64 bits of each, as integers.
  let sum = 0n;
  let files = 0;
  for await (const {file, size, mtimeNs, ctimeNs} of source.files(signal)) {
    sum = BigInt.asUintN(64, sum + createHash('sha256').update(`${file}\0${size} ${mtimeNs} ${ctimeNs}`).digest().readBigUInt64LE());
    files++;
  }
  return `${files} files ${sum.toString(16).padStart(16, '0')}`;
}
