/** The thread in which score files are taken apart, while the one that asked works on the file before. */
import {parentPort} from 'node:worker_threads';
import {UserError, type ErrorCode} from '../errors.js';
import type {ScoredImages} from '../ranking/select.js';
import {readScores} from './score-file.js';

export interface ScoreReaderRequest {
  file: string;
  topP: number;
}

/** A failure comes as what it is made of: an error of a class of ours would arrive as a plain one. */
export type ScoreReaderReply = {scores: ScoredImages} | {failure: {message: string; code: ErrorCode | null}};

const port = parentPort;
if (port === null) throw new Error('The thread that reads scores was started as a program of its own.');

async function reply({file, topP}: ScoreReaderRequest): Promise<[ScoreReaderReply, ArrayBuffer[]]> {
  try {
    const scores = await readScores(file, topP);
    return [
      {scores},
      [scores.ids, ...scores.classes, ...scores.logProbs]
        .map(({buffer}) => buffer)
        .filter(buffer => buffer instanceof ArrayBuffer),
    ];
  } catch (error) {
    return [
      {
        failure: {
          message: error instanceof Error ? error.message : String(error),
          code: error instanceof UserError ? error.code : null,
        },
      },
      [],
    ];
  }
}

port.on('message', (request: ScoreReaderRequest) => {
  void reply(request).then(([message, transferred]) => port.postMessage(message, transferred));
});
