/**
 * Reads score files one after the other, in a thread of its own: taking them apart takes as long as selecting from
 * them.
 */
import {Worker} from 'node:worker_threads';
import {throwIfStopped, UserError} from '../errors.js';
import type {ScoredImages} from '../ranking/select.js';
import type {ScoreReaderReply, ScoreReaderRequest} from './score-reader-thread.js';

/**
 * The `topP` best classes of every image of each file, in order, each file read while the one before it is being used.
 * Throws what `readScores` does.
 */
export async function* readAllScores(
  files: readonly string[],
  topP: number,
  signal: AbortSignal,
): AsyncGenerator<ScoredImages> {
  const reader = new Worker(new URL('../../dist/images/score-reader-thread.js', import.meta.url));
  const read = (file: string): Promise<ScoredImages> =>
    new Promise((resolve, reject) => {
      reader.once('error', reject);
      reader.once('message', (reply: ScoreReaderReply) => {
        reader.off('error', reject);
        if ('scores' in reply) resolve(reply.scores);
        else
          reject(
            reply.failure.code === null
              ? new Error(reply.failure.message)
              : new UserError(reply.failure.code, reply.failure.message),
          );
      });
      reader.postMessage({file, topP} satisfies ScoreReaderRequest);
    });
  try {
    let ahead: Promise<ScoredImages> | null = null;
    for (const [index, file] of files.entries()) {
      throwIfStopped(signal);
      const scores: ScoredImages = await (ahead ?? read(file));
      const following = files[index + 1];
      ahead = following === undefined ? null : read(following);
      ahead?.catch(() => {}); // Until its turn comes its failure is nobody's.
      yield scores;
    }
  } finally {
    await reader.terminate();
  }
}
