/**
 * Gets a task of the image worker past the pictures that a decoder dies of or hangs in.
 *
 * A worker keeps a file of what is in its decoder's hands. Where it dies of a signal, or so many decoders hang that it
 * gives itself up, those that were past their time are culprits, and the others are decoded again in a worker of their
 * own, one by one: what that one dies of is a culprit beyond doubt. Then the task begins again, and sets the culprits
 * aside unopened. SIGKILL comes from outside; that and every other death come out as they are.
 */
import {readFile, rm} from 'node:fs/promises';
import path from 'node:path';
import {ChildError} from '../errors.js';
import {picturesInHand, type Culprit, type DecodeItem, type PicturesInHand, type Precautions} from './protocol.js';

export interface Decoding<Result> {
  /** A folder of this attempt's own. */
  readonly attempt: string;
  /** Does the task, or what is left of it. */
  readonly run: (precautions: Precautions) => Promise<Result>;
  /** Does the `decode` task. */
  readonly decode: (pictures: readonly DecodeItem[], precautions: Precautions) => Promise<unknown>;
  readonly pictureOf: (key: string) => DecodeItem;
  /** Told of each culprit as it is found. What it throws ends the task and comes out. */
  readonly onCulprit: (culprit: Culprit) => void;
}

/**
 * Runs a task until nothing stops it any more. What a worker dies of with no picture in its hands comes out; so does
 * the second death that no picture is to blame for.
 */
export async function runPastCulprits<Result>({
  attempt,
  run,
  decode,
  pictureOf,
  onCulprit,
}: Decoding<Result>): Promise<Result> {
  const inHand = path.join(attempt, 'in-hand.json');
  const culprits: Culprit[] = [];

  /** Runs a worker; returns its result, or what its decoder had in hand when it was stopped by that. */
  async function attemptTo<T>(
    work: (precautions: Precautions) => Promise<T>,
  ): Promise<{result: T} | {stop: ChildError; pictures: PicturesInHand}> {
    await rm(inHand, {force: true});
    try {
      return {result: await work({inHand, culprits})};
    } catch (error) {
      const stop = stopOf(error);
      const pictures = stop === null ? [] : await readInHand(inHand);
      if (stop === null || pictures.length === 0) throw error;
      return {stop, pictures};
    }
  }

  function blame(key: string, problem: Culprit['problem']): void {
    culprits.push({key, problem});
    onCulprit({key, problem});
  }

  /** Blames those that are late, and returns the others. */
  function blameLate(pictures: PicturesInHand): string[] {
    for (const {key, problem} of pictures) if (problem !== null) blame(key, problem);
    return pictures.flatMap(({key, problem}) => (problem === null ? [key] : []));
  }

  /** Blames those that a decoder dies of. */
  async function tryAlone(keys: readonly string[]): Promise<void> {
    const known = new Set<string>();
    for (;;) {
      const rest = keys.filter(key => !known.has(key));
      if (rest.length === 0) return;
      const tried = await attemptTo(precautions => decode(rest.map(pictureOf), precautions));
      if ('result' in tried) return;
      for (const {key} of tried.pictures) known.add(key);
      for (const key of blameLate(tried.pictures))
        blame(key, {code: 'DECODER_CRASH', detail: `crashed the decoder (${tried.stop.killedBy})`});
    }
  }

  let isForgiven = false;
  for (;;) {
    const ended = await attemptTo(run);
    if ('result' in ended) return ended.result;
    const before = culprits.length;
    const others = blameLate(ended.pictures);
    // What only waited for hung ones has done nothing.
    if (ended.stop.killedBy !== undefined) await tryAlone(others);
    if (culprits.length > before) continue;
    if (isForgiven) throw ended.stop;
    isForgiven = true;
  }
}

/**
 * The error of a worker that a decoder may have stopped; null for any other. A SIGKILL comes from outside, mostly for
 * want of memory, which ends Node otherwise, too.
 */
function stopOf(error: unknown): ChildError | null {
  if (!(error instanceof ChildError)) return null;
  const isCrash = error.killedBy !== undefined && error.killedBy !== 'SIGKILL' && error.reason !== 'out-of-memory';
  return isCrash || error.reason === 'stuck' ? error : null;
}

/** Nothing where the worker died before it decoded. */
async function readInHand(file: string): Promise<PicturesInHand> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const [line = ''] = text.split('\n');
  return line === '' ? [] : picturesInHand.parse(JSON.parse(line));
}
