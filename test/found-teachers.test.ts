import {existsSync} from 'node:fs';
import path from 'node:path';
import {afterAll, describe, expect, it} from 'vitest';
import {readScores} from '../src/images/score-file.js';
import {unpackIds} from '../src/ranking/image-ids.js';
import {lastingFolder, outputOf} from './commands/pupil.js';

/** Small inputs that were taken wrongly once; users do not have them. */
const found = path.join(process.env['PUPIL_TEST_DATA'] ?? '', 'found/onnx-averaged-softmax');
const python = process.env['PUPIL_PYTHON'] ?? '';
const canRun = existsSync(found) && existsSync(python);

if (!canRun)
  console.warn(
    'SKIPPED: PUPIL_TEST_DATA has no found/onnx-averaged-softmax, or PUPIL_PYTHON names no interpreter, so no averaged teachers are tried.',
  );

describe.skipIf(!canRun)('an ONNX teacher whose softmax is averaged or scaled', () => {
  const {folder: home, remove} = lastingFolder();
  afterAll(remove);

  async function scoresOf(teacher: string) {
    const settings = [
      'image.size=32',
      'student.model=cifarnet',
      'limits.threads=1',
      'score.precision=fp32',
      'teacher.classes=[red, green, blue]',
      'teacher.mean=[0,0,0]',
      'teacher.std=[1,1,1]',
      'select.top_p=1',
      'select.top_k=1',
    ];
    const sources = [
      '--labelled',
      path.join(found, 'train'),
      '--unlabelled',
      path.join(found, 'pool'),
      '--teacher',
      path.join(found, `${teacher}.onnx`),
    ];
    await outputOf(
      [
        'orchestrate',
        '--home',
        home,
        '--run',
        teacher,
        ...sources,
        ...settings.flatMap(setting => ['--set', setting]),
        '--until',
        'score',
      ],
      {env: {PUPIL_PYTHON: python}},
    );
    const {ids, logProbs} = await readScores(path.join(home, `data/${teacher}/scores/shard-00000.parquet`), 1);
    return new Map(unpackIds(ids).map((id, row) => [id, logProbs[0]?.[row] ?? NaN]));
  }

  it('scores as the plain softmax does', async () => {
    const plain = await scoresOf('softmax');
    expect(plain.size).toBe(2);
    for (const teacher of ['ensemble', 'mean', 'percent'])
      for (const [id, logProb] of await scoresOf(teacher))
        expect(logProb, teacher).toBeCloseTo(plain.get(id) ?? NaN, 4);
  });
});
