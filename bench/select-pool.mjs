// Simulates the score files of a large pool, for bench:select.
import path from 'node:path';
import {writeScores} from '../dist/images/score-file.js';

/** As score.shard_size has it. */
const SHARD = 4096;

/** Uniform in [0, 1), the same for the same seed (xorshift). */
function randomFrom(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/**
 * Writes `images` images, shard by shard. Ids are random; low classes are more often among the best than high ones, and
 * a teacher is surer of some classes than of others. Resolves with the files; stops early if the signal says so.
 */
export async function writePool(folder, {images: total, classes: classCount, kept}, signal, onProgress) {
  const random = randomFrom(20260101);
  const names = Array.from({length: classCount}, (_, index) => `class ${index}`);
  const files = [];
  for (let from = 0; from < total; from += SHARD) {
    signal.throwIfAborted();
    const shard = files.length;
    const rows = Math.min(SHARD, total - from);
    const images = [];
    const places = [];
    const classes = Array.from({length: kept}, () => new Int32Array(rows));
    const logProbs = Array.from({length: kept}, () => new Float32Array(rows));
    for (let row = 0; row < rows; row++) {
      images.push(
        Array.from({length: 3}, () =>
          Math.floor(random() * 2 ** 32)
            .toString(16)
            .padStart(8, '0'),
        ).join(''),
      );
      places.push(`/pool/part-${String(shard).padStart(6, '0')}.tar#${String(row).padStart(9, '0')}.jpg`);
      const chosen = new Set();
      while (chosen.size < kept) chosen.add(Math.floor(classCount * random() ** 1.5));
      let logProb = 0;
      let position = 0;
      for (const index of chosen) {
        logProb += Math.log(1 - random()) * (0.2 + (index % 7) / 7);
        classes[position][row] = index;
        logProbs[position][row] = logProb;
        position++;
      }
    }
    const file = path.join(folder, `shard-${String(shard).padStart(5, '0')}.parquet`);
    await writeScores(
      file,
      {images, classes, logProbs, metadata: {classes: names, shard, fingerprint: 'bench'}},
      places,
    );
    files.push(file);
    onProgress(from + rows);
  }
  return files;
}
