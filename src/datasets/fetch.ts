/** Brings a known data set into a home: downloaded, checked, unpacked, and published as a whole folder. */
import {existsSync} from 'node:fs';
import {mkdir, readdir, readFile, stat, statfs, writeFile} from 'node:fs/promises';
import path from 'node:path';
import pLimit from 'p-limit';
import {z} from 'zod';
import {UserError} from '../errors.js';
import type {Emit} from '../events.js';
import {publishFolder} from '../files/publish.js';
import {takeLock} from '../store/lock.js';
import {bytes, count} from '../words.js';
import {download, md5Of, removeDownload, usualPatience, type Download, type Patience} from './download.js';
import {archiveName, datasetFolder, type Dataset} from './known.js';
import {unpack} from './unpack.js';

export interface Fetching {
  readonly home: string;
  /** An address under which the archives lie by the same names; null: at their authors'. */
  readonly mirror: string | null;
  readonly signal: AbortSignal;
  readonly emit: Emit;
  readonly patience?: Patience;
}

/** Where a data set is downloaded from. */
const addressOf = (dataset: Dataset, mirror: string | null): string =>
  mirror === null ? dataset.address : `${mirror.replace(/\/+$/, '')}/${archiveName(dataset)}`;

/** No run is named with a dot in front. */
export const lockFile = (home: string): string => path.join(home, 'db', '.fetch.lock');

/**
 * Fetches what is not there yet, one after the other; does nothing where all is there and whole. Interrupted anywhere,
 * it goes on from there the next time. Throws (exit 75) where another process is at it.
 */
export async function fetchDatasets(wanted: readonly Dataset[], fetching: Fetching): Promise<void> {
  const missing: Dataset[] = [];
  for (const dataset of wanted) {
    if (await isThere(dataset, fetching))
      fetching.emit({
        type: 'dataset_ready',
        dataset: dataset.name,
        path: datasetFolder(fetching.home, dataset),
        status: 'there',
      });
    else missing.push(dataset);
  }
  if (missing.length === 0) return;
  const data = path.join(fetching.home, 'data');
  await mkdir(data, {recursive: true}).catch((cause: unknown) => {
    throw new UserError(
      'NO_ACCESS',
      `${data} cannot be made (${cause instanceof Error ? cause.message : String(cause)}). See what lies there: it must be a folder, or nothing.`,
      {cause},
    );
  });
  const lock = takeLock(lockFile(fetching.home));
  if (lock === null)
    throw new UserError(
      'BUSY_FETCH',
      `Another process is fetching data sets into ${fetching.home}. Wait for it, and run the same command again.`,
    );
  try {
    for (const dataset of missing) await fetchOne(dataset, fetching);
  } finally {
    lock.release();
  }
}

async function fetchOne(
  dataset: Dataset,
  {home, mirror, signal, emit, patience = usualPatience}: Fetching,
): Promise<void> {
  const folder = datasetFolder(home, dataset);
  // Another process may have brought it while the lock was waited for.
  if (existsSync(folder)) return emit({type: 'dataset_ready', dataset: dataset.name, path: folder, status: 'there'});
  const note = (message: string) => emit({type: 'note', stage: null, message: `${dataset.name}: ${message}`});
  const wanted = downloadOf(dataset, home, mirror);
  const placed = placedArchive(home, dataset);
  if (existsSync(placed)) {
    await proveArchive(placed, dataset, signal);
    note(`unpacking ${placed}`);
    await unpackInto(folder, placed, dataset, signal, emit);
  } else {
    const {title, contents, terms} = dataset;
    emit({
      type: 'dataset_started',
      dataset: dataset.name,
      title,
      contents,
      address: wanted.address,
      bytes: dataset.bytes,
      path: folder,
      terms,
    });
    await refuseWithoutRoom(wanted, dataset);
    await download(wanted, {
      signal,
      patience,
      onNote: note,
      onProgress: (done, perSecond) =>
        emit({
          type: 'dataset_progress',
          dataset: dataset.name,
          part: 'downloading',
          done,
          total: dataset.bytes,
          unit: 'bytes',
          perSecond,
        }),
    });
    note('the checksum is right; unpacking');
    await unpackInto(folder, wanted.file, dataset, signal, emit);
    await removeDownload(wanted);
  }
  emit({type: 'dataset_ready', dataset: dataset.name, path: folder, status: 'fetched'});
}

/** Where people put an archive that they brought by other means. It is never changed. */
const placedArchive = (home: string, dataset: Dataset): string => path.join(home, 'data', archiveName(dataset));

function downloadOf(dataset: Dataset, home: string, mirror: string | null): Download {
  const placed = placedArchive(home, dataset);
  const {address, bytes, md5} = dataset;
  return {
    address: addressOf(dataset, mirror),
    file: `${placed}.part`,
    bytes,
    md5,
    otherwise: `To do without it, download ${address} on a machine that can, put the file here as ${placed}, and run the same command again; or name a mirror of it: pupil fetch ${dataset.name}${home === process.cwd() ? '' : ` --home ${home}`} --mirror URL.`,
  };
}

async function proveArchive(
  archive: string,
  {address, bytes: expectedBytes, md5}: Dataset,
  signal: AbortSignal,
): Promise<void> {
  const {size} = await stat(archive);
  const found = size === expectedBytes ? await md5Of(archive, signal) : null;
  if (found === md5) return;
  const difference =
    found === null ? `${count(size)} bytes, expected ${count(expectedBytes)}` : `its md5 is ${found}, expected ${md5}`;
  throw new UserError(
    'DAMAGED_ARCHIVE',
    `${archive} is not the file of ${address}: ${difference}. Replace it, or remove it to have it downloaded; then run the same command again.`,
  );
}

async function refuseWithoutRoom({file}: Download, dataset: Dataset): Promise<void> {
  const there = existsSync(file) ? (await stat(file)).size : 0;
  const needed = Math.max(0, dataset.bytes - there) + dataset.unpackingBytes;
  const {bavail, bsize} = await statfs(path.dirname(file));
  if (bavail * bsize >= needed) return;
  throw new UserError(
    'DISK_FULL',
    `${dataset.title} needs ${bytes(needed)} in ${path.dirname(file)} while it is unpacked; ${bytes(bavail * bsize)} are free. Make room, or name another home with --home DIR, and run the same command again.`,
  );
}

// ---------------------------------------------------------------- the folder, and whether it is whole

/** What was unpacked, kept in the folder itself. The sources of pictures pass over names with a dot in front. */
const RECEIPT = '.fetched.json';
const receipt = z.object({md5: z.string(), files: z.int(), bytes: z.int()});
type Receipt = z.infer<typeof receipt>;

const PROGRESS_EVERY_MS = 1000;

async function unpackInto(
  folder: string,
  archive: string,
  dataset: Dataset,
  signal: AbortSignal,
  emit: Emit,
): Promise<void> {
  const started = performance.now();
  let shown = started;
  const onFile = (done: number) => {
    const now = performance.now();
    if (now - shown < PROGRESS_EVERY_MS) return;
    shown = now;
    emit({
      type: 'dataset_progress',
      dataset: dataset.name,
      part: 'unpacking',
      done,
      total: null,
      unit: 'files',
      perSecond: (1000 * done) / (now - started),
    });
  };
  await publishFolder(folder, async temporary => {
    await unpack({
      archive,
      format: archiveName(dataset).endsWith('.zip') ? 'zip' : 'tar.gz',
      into: temporary,
      folder: dataset.folder,
      signal,
      onFile,
    });
    const unpacked: Receipt = {md5: dataset.md5, ...(await measure(temporary))};
    await writeFile(path.join(temporary, RECEIPT), JSON.stringify(unpacked));
  });
}

/**
 * Whether the folder is there and holds what was unpacked. One without a receipt was brought by other means and is
 * taken as it is.
 */
async function isThere(dataset: Dataset, {home, emit}: Fetching): Promise<boolean> {
  const folder = datasetFolder(home, dataset);
  if (!existsSync(folder)) return false;
  const kept = await readFile(path.join(folder, RECEIPT), 'utf8').catch(() => null);
  if (kept === null) {
    emit({
      type: 'note',
      stage: null,
      message: `${dataset.name}: ${folder} was brought by other means, and is taken as it is`,
    });
    return true;
  }
  const expected = receiptOf(kept);
  if (expected === null)
    throw new UserError(
      'DAMAGED_DATASET',
      `${path.join(folder, RECEIPT)} is damaged, so that nothing tells whether ${folder} is whole. Remove that file to take the folder as it is, or move the folder away to have it anew.`,
    );
  const found = await measure(folder);
  if (found.files === expected.files && found.bytes === expected.bytes) return true;
  throw new UserError(
    'DAMAGED_DATASET',
    `${folder} is no longer as it was unpacked: ${count(found.files)} files with ${count(found.bytes)} bytes, expected ${count(expected.files)} with ${count(expected.bytes)}. ` +
      'It was left as it is. Move it away, and run the same command again to have it anew.',
  );
}

/** Null where it is none. */
function receiptOf(text: string): Receipt | null {
  try {
    return receipt.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

const STATS_AT_A_TIME = 64;

/** The files below a folder, hidden ones apart, and their bytes together. */
async function measure(folder: string): Promise<Pick<Receipt, 'files' | 'bytes'>> {
  const limit = pLimit(STATS_AT_A_TIME);
  const entries = await readdir(folder, {recursive: true, withFileTypes: true});
  const files = entries.filter(entry => entry.isFile() && !entry.name.startsWith('.'));
  const sizes = await Promise.all(
    files.map(({parentPath, name}) => limit(async () => (await stat(path.join(parentPath, name))).size)),
  );
  return {files: files.length, bytes: sizes.reduce((sum, size) => sum + size, 0)};
}
