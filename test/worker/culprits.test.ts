import {appendFile} from 'node:fs/promises';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {describe, expect, it} from 'vitest';
import {runChild} from '../../src/children/child.js';
import {runPastCulprits} from '../../src/children/past-culprits.js';
import {
  PROTOCOL,
  type ChildEvent,
  type Culprit,
  type ImageReference,
  type PackItem,
} from '../../src/children/protocol.js';
import {workerCommand} from '../../src/children/worker.js';
import {ChildError} from '../../src/errors.js';
import {openPack} from '../../src/images/pack.js';
import {png, put} from '../images/pictures.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {indexed, mixedSources} from './pools.js';
import {decoding} from './worker-process.js';

const preload = pathToFileURL(fileURLToPath(new URL('../fixtures/deadly-decoder.mjs', import.meta.url))).href;
const never = new AbortController().signal;
const PICTURES = 24;

/** Pictures of which some are deadly, by number. */
async function pool(deadly: {
  dies?: number[];
  hangs?: number[];
}): Promise<{root: string; images: ImageReference[]; numbersOf: (ids: readonly string[]) => number[]}> {
  const root = await temporaryFolder();
  for (let number = 0; number < PICTURES; number++)
    await put(`${root}/folder/${number}.png`, await png(number, 40, 36));
  for (const number of deadly.dies ?? []) await appendFile(`${root}/folder/${number}.png`, 'a decoder dies of this');
  for (const number of deadly.hangs ?? []) await appendFile(`${root}/folder/${number}.png`, 'a decoder hangs in this');
  const images = await indexed(root, mixedSources(root).slice(0, 1));
  const numbers = new Map(images.map(({id, file}) => [id, Number(/(\d+)\.png$/.exec(file)![1])]));
  return {root, images, numbersOf: ids => ids.map(id => numbers.get(id)!).sort((a, b) => a - b)};
}

/** Packs pictures as the stages do, past those that stop the worker. */
async function pack(
  {root, images}: Awaited<ReturnType<typeof pool>>,
  onCulprit: (culprit: Culprit) => void = () => {},
) {
  const command = workerCommand({threads: 2, device: 'cpu', python: null});
  const deadly = {...command, env: {...command.env, NODE_OPTIONS: `--import=${preload}`}};
  const attempt = `${root}/attempt`;
  const culprits: Culprit[] = [];
  let attempts = 0;
  let told: [string, string][] = [];
  let stays = false;
  const onEvent = (event: ChildEvent) => {
    stays ||= event.type === 'ready';
    if (event.type === 'quarantined')
      told.push(...event.images.map(({id, problem}): [string, string] => [id, problem.code]));
  };
  const options = {attempt, stop: {requested: never, forced: never}};
  const impatient = {...decoding, timeoutSeconds: 1};
  const result = await runPastCulprits({
    attempt,
    run(precautions) {
      attempts++;
      told = [];
      const lines = images.map((image): PackItem => ({...image, pack: 0, labels: [0], answers: null}));
      return runChild<'pack'>(
        deadly,
        {
          protocol: PROTOCOL,
          task: 'pack',
          packs: [{output: `${root}/pack`, size: impatient.size}],
          decoding: impatient,
          precautions,
          threads: 2,
          classes: ['a'],
          kept: 0,
          heldOut: [],
        },
        {...options, lines, onEvent},
      );
    },
    decode: (pictures, precautions) =>
      runChild<'decode'>(
        deadly,
        {protocol: PROTOCOL, task: 'decode', decoding: impatient, precautions},
        {...options, lines: pictures, onEvent: () => {}},
      ),
    pictureOf(key) {
      const {id, file, offset, length, encoding} = images.find(image => image.id === key)!;
      return {id, file, offset, length, encoding};
    },
    onCulprit(culprit) {
      culprits.push(culprit);
      onCulprit(culprit);
    },
  });
  const packed: string[] = [];
  const written = await openPack(`${root}/pack`);
  for await (const id of written.ids()) packed.push(id);
  await written.close();
  return {result, attempts, culprits, told, packed, stays};
}

const but = (...numbers: number[]) =>
  Array.from({length: PICTURES}, (_, number) => number).filter(number => !numbers.includes(number));

describe('past pictures that stop the worker', () => {
  it('finds those that a decoder dies of, though others are decoded beside them, and does the rest', async () => {
    const pictures = await pool({dies: [4, 5, 20]});
    const {result, culprits, told, packed, stays} = await pack(pictures);
    expect(stays).toBe(true);
    expect(result.packs).toEqual([{images: 21, samples: 21, quarantined: 3}]);
    expect(pictures.numbersOf(culprits.map(({key}) => key))).toEqual([4, 5, 20]);
    expect(new Set(culprits.map(({problem}) => problem.detail))).toEqual(new Set(['crashed the decoder (SIGSEGV)']));
    expect(pictures.numbersOf(told.map(([id]) => id))).toEqual([4, 5, 20]);
    expect(pictures.numbersOf(packed)).toEqual(but(4, 5, 20));
  });

  it('gives up a worker in which more decoders hang than it has threads to spare, and one that dies beside hung ones', async () => {
    const pictures = await pool({hangs: [1, 3, 6, 7], dies: [12]});
    const {result, attempts, told, packed} = await pack(pictures);
    expect(result.packs).toEqual([{images: 19, samples: 19, quarantined: 5}]);
    expect(
      told.map(([id, code]) => [...pictures.numbersOf([id]), code]).sort((a, b) => Number(a[0]) - Number(b[0])),
    ).toEqual([
      [1, 'DECODE_TIMEOUT'],
      [3, 'DECODE_TIMEOUT'],
      [6, 'DECODE_TIMEOUT'],
      [7, 'DECODE_TIMEOUT'],
      [12, 'DECODER_CRASH'],
    ]);
    expect(pictures.numbersOf(packed)).toEqual(but(1, 3, 6, 7, 12));
    expect(attempts).toBeGreaterThan(1);
  });

  it('goes on in the same worker beside as many hung decoders as it has threads to spare', async () => {
    const pictures = await pool({hangs: [2, 9]});
    const {attempts, culprits, told, stays} = await pack(pictures);
    expect(attempts).toBe(1);
    // Their threads would be missing in its next task.
    expect(stays).toBe(false);
    expect(culprits).toEqual([]);
    expect(pictures.numbersOf(told.map(([id]) => id))).toEqual([2, 9]);
  });

  it('ends with what is thrown at the sight of a culprit', async () => {
    const pictures = await pool({dies: [0, 1, 2]});
    let seen = 0;
    const enough = (): void => {
      if (++seen === 2) throw new Error('enough');
    };
    await expect(pack(pictures, enough)).rejects.toThrow('enough');
  });

  it('lets out a death that no picture is to blame for: at once with none in hand, the second time with some', async () => {
    const death = new ChildError('BUG', 'The worker was killed by SIGSEGV.', [], {killedBy: 'SIGSEGV'});
    const attempt = await temporaryFolder();
    for (const [inHand, expected] of [
      ['[]\n', 1],
      ['[{"key":"a","problem":null}]\n', 2],
    ] as const) {
      let attempts = 0;
      const dying = runPastCulprits({
        attempt,
        async run(precautions) {
          attempts++;
          await put(precautions.inHand, inHand);
          throw death;
        },
        decode: () => Promise.resolve(),
        pictureOf: file => ({id: null, file, offset: null, length: null, encoding: 'encoded'}),
        onCulprit: () => {},
      });
      await expect(dying).rejects.toBe(death);
      expect(attempts).toBe(expected);
    }
  });
});
