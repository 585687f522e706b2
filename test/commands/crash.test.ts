import {appendFileSync} from 'node:fs';
import path from 'node:path';
import {pathToFileURL, fileURLToPath} from 'node:url';
import {expect, it} from 'vitest';
import {temporaryFolder} from '../images/temporary-folder.js';
import {doneOf, look, pupil, statusOf, writeData} from './pupil.js';

const preload = pathToFileURL(fileURLToPath(new URL('../fixtures/deadly-decoder.mjs', import.meta.url))).href;
/** Node's own arguments, which the image worker gets, too. */
const deadly = {node: [`--import=${preload}`]};
const POOL = 40;
const dies = (picture: string) => appendFileSync(picture, 'a decoder dies of this');
const hangs = (picture: string) => appendFileSync(picture, 'a decoder hangs in this');

it.each([1, 2])(
  'sets aside the pictures of every set that a decoder dies of or hangs in, does the rest, and says so, with %i image workers',
  async workers => {
    const folder = await temporaryFolder();
    const data = await writeData(path.join(folder, 'data'), POOL);
    const at = (picture: string) => path.join(data.folder, picture);
    const [labelled, tested] = [at('train/red/0.png'), at('test/blue/0.png')];
    const inPool = [5, 17].map(number => at(`pool/${number}.png`));
    const hung = [2, 3, 19].map(number => at(`pool/${number}.png`));
    for (const culprit of [labelled, tested, ...inPool]) dies(culprit);
    for (const culprit of hung) hangs(culprit);
    const home = path.join(folder, 'home');

    const set = ['--set', `score.workers=${workers}`, '--set', 'limits.decode_seconds=1', '--set', 'limits.threads=2'];
    const {code, stdout, stderr} = await pupil(
      ['orchestrate', data.config, '--home', home, '--json', '--max-failures', '0.2', ...set],
      deadly,
    );
    expect(code, stderr).toBe(0);
    expect(doneOf(stdout).selection).toMatchObject({scored: POOL - inPool.length - hung.length});
    const warnings = stdout
      .split('\n')
      .filter(line => line.includes('crashed the decoder (SIGSEGV); it is set aside.'));
    expect(warnings).toHaveLength(2 + inPool.length);
    for (const culprit of [labelled, tested, ...inPool])
      expect(await look(['why', culprit, '--home', home])).toContain('DECODER_CRASH');
    for (const culprit of hung) expect(await look(['why', culprit, '--home', home])).toContain('DECODE_TIMEOUT');
    expect((await statusOf(home)).stages.every(({status}) => status === 'fresh')).toBe(true);
    if (workers > 1) return;

    const asked = [at('pool/0.png'), inPool[0]!, hung[0]!, at('pool/1.png'), inPool[1]!];
    const predicted = await pupil(['predict', '--home', home, '--json', ...asked], deadly);
    expect(predicted.code, predicted.stderr).toBe(0);
    const answers = predicted.stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as {image: string; classes?: object[]; error?: {code: string}});
    expect(answers.map(({image, error, classes}) => [image, error?.code ?? classes?.length])).toEqual(
      asked.map((image, position) => [image, [3, 'DECODER_CRASH', 'DECODE_TIMEOUT', 3, 'DECODER_CRASH'][position]]),
    );
  },
);

it('stops (exit 5) where the decoder dies of more pictures than may fail', async () => {
  const folder = await temporaryFolder();
  const data = await writeData(path.join(folder, 'data'), POOL);
  for (let number = 0; number < 10; number++) dies(path.join(data.folder, 'pool', `${number}.png`));
  const {code, stderr} = await pupil(
    ['orchestrate', data.config, '--home', path.join(folder, 'home'), '--max-failures', '0.05'],
    deadly,
  );
  expect([code, stderr]).toEqual([
    5,
    expect.stringMatching(
      /3 of 40 pictures stopped the image worker, more than --max-failures 0\.05 allows; the last one was \S+\.png: it crashed the decoder \(SIGSEGV\)\. If they open elsewhere/,
    ),
  ]);
});
