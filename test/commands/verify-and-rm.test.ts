import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import {afterAll, beforeAll, describe, expect, it, onTestFinished} from 'vitest';
import {z} from 'zod';
import {stageNames} from '../../src/events.js';
import {stampOf} from '../../src/pipeline/file-hash.js';
import {openFileHashes} from '../../src/store/file-hashes.js';
import {openStoreToRead} from '../../src/store/open.js';
import {copyOf, lastingFolder, outputOf, pupil, startPupil, writeData, type Data} from './pupil.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const {folder, remove} = lastingFolder();
const made = path.join(folder, 'home');
let data: Data;

beforeAll(async () => {
  data = await writeData(path.join(folder, 'data'), 12);
  await outputOf(['orchestrate', data.config, '--home', made, '--json', '--set', 'rounds=2']);
});
afterAll(remove);

const aCopy = async () => copyOf(made, path.join(await temporaryFolder(), 'home'));

describe('verify', () => {
  it('reads all that the runs of a home vouch for', async () => {
    const {code, stdout} = await pupil(['verify', '--home', made]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^colours: \d+ files \([\d.]+ [kM]B\) and the rows of 10 stages are as they were written$/m);
    expect(stdout).toMatch(/^kept for all runs: \d+ files \([\d.]+ [kM]B\) of \d+ results are as they were written$/m);
  });

  it('reads what is kept for all of them as well', async () => {
    const home = await aCopy();
    const folder = path.join(home, 'data/.results/teacher');
    const [result] = readdirSync(folder);
    const file = `data/.results/teacher/${result}/files/models/teacher/model.safetensors`;
    writeFileSync(path.join(home, file), 'other weights');
    mkdirSync(path.join(folder, 'cut-short.tmp'));
    const {code, stdout, stderr} = await pupil(['verify', '--home', home, '--json']);
    const {kept} = z.object({kept: z.object({damage: z.array(z.unknown())})}).parse(JSON.parse(stdout));
    expect([code, kept.damage]).toEqual([4, [{path: file, kind: 'changed'}]]);
    expect(stderr).toContain(
      'Of what is kept for all runs something is damaged: where it is needed again, it is made again.',
    );
  });

  it('tells a byte that changed, whatever the times of its file say, and a file that is gone (exit 4)', async () => {
    const home = await aCopy();
    const [model, pack] = ['models/colours/student/model.safetensors', 'data/colours/packs/train/ids.txt'];
    const bytes = readFileSync(path.join(home, model));
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(path.join(home, model), bytes);
    rmSync(path.join(home, pack));
    const connection = new Database(path.join(home, 'db/colours.sqlite'));
    connection.exec('DELETE FROM rankings WHERE rank = 1');
    connection.close();
    const {code, stdout, stderr} = await pupil(['verify', 'colours', '--home', home, '--json']);
    const {runs} = z
      .object({
        runs: z.array(z.object({run: z.string(), damage: z.array(z.object({path: z.string(), kind: z.string()}))})),
      })
      .parse(JSON.parse(stdout));
    expect([code, runs.map(({run}) => run)]).toEqual([4, ['colours']]);
    expect(runs[0]!.damage).toEqual([
      {path: pack, kind: 'missing'},
      {path: 'what the database holds of select.ranking', kind: 'changed'},
      {path: model, kind: 'changed'},
    ]);
    expect(stderr).toContain('1 run of 1 is damaged: colours. pupil orchestrate makes anew what is damaged');
  });

  it('reads the others where one cannot be read', async () => {
    const home = await aCopy();
    writeFileSync(path.join(home, 'db/colours.sqlite'), 'no database');
    const file = path.join(home, 'models/colours.round2/student/model.onnx');
    rmSync(file);
    mkdirSync(file);
    const {code, stdout} = await pupil(['verify', '--home', home]);
    expect(code).toBe(4);
    expect(stdout).toMatch(/^colours: .*colours\.sqlite/m);
    expect(stdout).toContain('  models/colours.round2/student/model.onnx cannot be read (EISDIR)\n');
  });

  it('of a run that is not there is refused (exit 2)', async () => {
    expect((await pupil(['verify', 'colors', '--home', made])).code).toBe(2);
  });
});

describe('rm', () => {
  it('removes what a run made and its records, and nothing else', async () => {
    const home = await aCopy();
    writeFileSync(path.join(home, 'models/colours.round2/notes.txt'), 'mine');
    const all = ['rm', 'colours', 'colours.round2', '--home', home];
    expect((await pupil([...all, '--dry-run'])).stdout).toMatch(/^colours: [\d.]+ [kM]B would be freed$/m);
    expect(existsSync(path.join(home, 'db/colours.sqlite'))).toBe(true);
    const {code, stdout, stderr} = await pupil(all);
    expect([code, stderr]).toEqual([0, `${home}/models/colours.round2/notes.txt is none of its files, and stays.\n`]);
    expect(stdout).toMatch(/^colours: [\d.]+ [kM]B freed\ncolours.round2: [\d.]+ [kM]B freed\n$/);
    for (const gone of ['db/colours.sqlite', 'data/colours', 'models/colours', 'data/colours.round2'])
      expect(existsSync(path.join(home, gone))).toBe(false);
    expect((await pupil(['runs', '--home', home])).stdout).toContain('No runs in');
  });

  it('keeps a run whose student is the teacher of one that stays (exit 2)', async () => {
    const home = await aCopy();
    // A copied home has its teacher in the folder that it was copied from.
    await outputOf(['orchestrate', data.config, '--home', home, '--json', '--set', 'rounds=2']);
    const {code, stderr} = await pupil(['rm', 'colours', '--home', home]);
    expect([code, stderr]).toEqual([
      2,
      'colours.round2 has its teacher from colours; nothing was removed. Remove both: pupil rm colours colours.round2\n',
    ]);
    expect(existsSync(path.join(home, 'db/colours.sqlite'))).toBe(true);
  });

  it('removes the link where a folder of a run is one, and keeps what it leads to', async () => {
    const home = await aCopy();
    const [data, elsewhere] = [path.join(home, 'data/colours.round2'), path.join(home, 'big disk')];
    renameSync(data, elsewhere);
    symlinkSync(elsewhere, data);
    expect((await pupil(['rm', 'colours.round2', '--home', home])).code).toBe(0);
    expect([existsSync(data), readdirSync(elsewhere)]).toEqual([false, []]);
  });

  it('of a run that is not there removes none of the others (exit 2)', async () => {
    const home = await aCopy();
    const {code, stderr} = await pupil(['rm', 'colours.round2', 'colour', '--home', home]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('There is no run "colour"')]);
    expect(existsSync(path.join(home, 'db/colours.round2.sqlite'))).toBe(true);
  });

  it('of a run that is being worked on is refused (exit 75)', async () => {
    const home = await aCopy();
    const working = startPupil(
      ['orchestrate', data.config, '--home', home, '--from', 'teacher', '--set', 'teacher.epochs=10000'],
      {env: {PUPIL_COLOUR_TRAINER_EPOCH_MS: '100'}},
    );
    await working.said('> teacher');
    expect((await pupil(['rm', 'colours', 'colours.round2', '--home', home])).code).toBe(75);
    working.child.kill('SIGTERM');
    await working.ended;
    expect(existsSync(path.join(home, 'models/colours/student/model.onnx'))).toBe(true);
  });

  it('counts what other runs hold by links as freed by none', async () => {
    const home = await aCopy();
    // A copied home has its links as files of their own.
    rmSync(path.join(home, 'data/.results'), {recursive: true});
    const freed = async () => {
      const {stdout} = await pupil(['rm', 'colours.round2', '--home', home, '--dry-run', '--json']);
      return z.object({would_remove: z.array(z.object({bytes: z.number()}))}).parse(JSON.parse(stdout)).would_remove[0]!
        .bytes;
    };
    const before = await freed();
    const model = path.join(home, 'models/colours.round2/student/model.onnx');
    linkSync(model, path.join(home, 'kept.onnx'));
    expect(before - (await freed())).toBe(readFileSync(model).length);
  });
});

describe('gc', () => {
  const listed = z.object({
    would_remove: z.array(z.object({stage: z.string(), run: z.string().nullable(), bytes: z.number()})).optional(),
    removed: z.array(z.object({stage: z.string()})),
    bytes: z.number(),
  });
  const gc = async (home: string, ...args: string[]) =>
    listed.parse(JSON.parse(await outputOf(['gc', '--home', home, '--json', ...args])));
  const kept = (home: string) =>
    readdirSync(path.join(home, 'data/.results'))
      .filter(stage => !stage.startsWith('.'))
      .flatMap(stage => readdirSync(path.join(home, 'data/.results', stage)).map(() => stage));
  /** A home of one run that selected otherwise before. */
  async function changed(): Promise<string> {
    const home = path.join(await temporaryFolder(), 'home');
    await outputOf(['orchestrate', data.config, '--home', home]);
    await outputOf(['orchestrate', data.config, '--home', home, '--set', 'select.top_k=2']);
    return home;
  }

  it('finds nothing where a run needs all that is kept', async () => {
    expect(await outputOf(['gc', '--home', made])).toBe(`All that is kept in ${made} is needed by a run.\n`);
  });

  it('shows, then removes what no run needs, and the runs are as fresh as before', async () => {
    const home = await changed();
    const before = kept(home);
    const {would_remove, bytes} = await gc(home, '--dry-run');
    expect(would_remove!.map(({stage}) => stage)).toEqual([
      ...['evaluate', 'finetune', 'pretrain', 'report', 'select', 'training', 'training'],
    ]);
    expect(bytes).toBeGreaterThan(0);
    expect(kept(home)).toEqual(before);
    expect(await outputOf(['gc', '--home', home])).toMatch(/^7 results that no run needs: [\d.]+ [kM]B freed\.$/m);
    expect(kept(home)).toHaveLength(before.length - 7);
    expect(await gc(home)).toEqual({home: undefined, removed: [], bytes: 0});
    expect((await pupil(['verify', '--home', home])).code).toBe(0);
    const again = await outputOf(['orchestrate', data.config, '--home', home, '--set', 'select.top_k=2', '--json']);
    expect(again).not.toContain('"status":"ran"');
  });

  it('leaves the files of other runs known: they are not read again', async () => {
    const home = await changed();
    await outputOf(['orchestrate', data.config, '--home', home, '--run', 'other', '--set', 'select.top_k=2']);
    await outputOf(['rm', 'other', '--home', home]);
    await gc(home);
    const hashes = openFileHashes(path.join(home, 'db'), {readonly: true});
    onTestFinished(() => hashes.close());
    const store = openStoreToRead(path.join(home, 'db/colours.sqlite'))!;
    onTestFinished(() => store.close());
    for (const name of stageNames)
      for (const {path: file, sha256} of store.stages.read(name)!.outputs)
        if (file !== null) expect([file, hashes.get((await stampOf(path.join(home, file)))!)]).toEqual([file, sha256]);
  });

  it('removes what a kill cut short, and what cannot be read', async () => {
    const home = await aCopy();
    mkdirSync(path.join(home, 'data/.results/teacher/0123.tmp'));
    const score = path.join(home, 'data/.results/score');
    writeFileSync(path.join(score, readdirSync(score)[0]!, 'result.json'), 'garbled');
    expect((await gc(home)).removed.map(({stage}) => stage)).toEqual(['score', 'teacher']);
  });

  it('removes nothing where a run cannot be read, of which nobody knows what it needs (exit 4)', async () => {
    const home = await changed();
    writeFileSync(path.join(home, 'db/other.sqlite'), 'no database');
    const before = kept(home);
    expect((await pupil(['gc', '--home', home])).code).toBe(4);
    expect(kept(home)).toEqual(before);
  });

  it('is refused while a run is being worked on (exit 75)', async () => {
    const home = await aCopy();
    const working = startPupil(
      ['orchestrate', data.config, '--home', home, '--from', 'teacher', '--set', 'teacher.epochs=10000'],
      {env: {PUPIL_COLOUR_TRAINER_EPOCH_MS: '100'}},
    );
    await working.said('> teacher');
    expect((await pupil(['gc', '--home', home])).code).toBe(75);
  });

  it('is what rm does for the runs that it removes, and for no other', async () => {
    const home = await changed();
    await outputOf(['orchestrate', data.config, '--home', home, '--run', 'other', '--set', 'select.top_k=3']);
    const freed = z
      .object({removed: z.array(z.object({run: z.string(), bytes: z.number()}))})
      .parse(JSON.parse(await outputOf(['rm', 'colours', '--home', home, '--json'])));
    expect(freed.removed[0]!.bytes).toBeGreaterThan(0);
    // Of what both had been made from, and of what the other made.
    expect(kept(home)).toEqual([
      ...['baseline', 'evaluate', 'export', 'finetune', 'prepare', 'pretrain', 'report', 'score', 'select', 'teacher'],
      ...['training', 'training', 'training', 'training'],
    ]);
    expect((await pupil(['verify', '--home', home])).code).toBe(0);
    expect(await gc(home)).toMatchObject({removed: []});
  });
});
