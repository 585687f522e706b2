import {appendFileSync} from 'node:fs';
import path from 'node:path';
import {pathToFileURL, fileURLToPath} from 'node:url';
import {expect, it} from 'vitest';
import {temporaryFolder} from '../images/temporary-folder.js';
import {doneOf, look, pupil, statusOf, writeData} from './pupil.js';

const preload = pathToFileURL(fileURLToPath(new URL('../fixtures/crash-on-marker.mjs', import.meta.url))).href;
const POOL = 40;

it.each([1, 2])('sets aside the pictures that a decoder dies of, scores all others, and says so, with %i image workers', async workers => {
  const folder = await temporaryFolder();
  const data = await writeData(path.join(folder, 'data'), POOL);
  const culprits = [5, 17].map(number => path.join(data.folder, 'pool', `${number}.png`));
  for (const culprit of culprits) appendFileSync(culprit, 'a decoder dies of this');
  const home = path.join(folder, 'home');

  const {code, stdout, stderr} = await pupil(['orchestrate', data.config, '--home', home, '--json', '--max-failures', '0.1', '--set', `score.workers=${workers}`], {node: [`--import=${preload}`]});
  expect(code, stderr).toBe(0);
  expect(doneOf(stdout).selection).toMatchObject({scored: POOL - culprits.length});
  const warnings = stdout.split('\n').filter(line => line.includes('crashed the decoder (SIGSEGV)'));
  expect(warnings).toHaveLength(culprits.length);
  for (const culprit of culprits) {
    expect(await look(['why', culprit, '--home', home])).toContain('DECODER_CRASH');
  }
  expect((await statusOf(home)).stages.every(({status}) => status === 'fresh')).toBe(true);
});

it('stops (exit 5) where the decoder dies of more pictures than may fail', async () => {
  const folder = await temporaryFolder();
  const data = await writeData(path.join(folder, 'data'), POOL);
  for (let number = 0; number < 10; number++) appendFileSync(path.join(data.folder, 'pool', `${number}.png`), 'a decoder dies of this');
  const {code, stderr} = await pupil(['orchestrate', data.config, '--home', path.join(folder, 'home'), '--max-failures', '0.05'], {node: [`--import=${preload}`]});
  expect([code, stderr]).toEqual([5, expect.stringMatching(/The image worker died of 3 of 40 pictures, more than --max-failures 0\.05 allows; the last one was \S+\.png \(SIGSEGV\)\. If they open elsewhere/)]);
});
