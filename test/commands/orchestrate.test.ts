import {createHash} from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import Database from 'better-sqlite3';
import sharp from 'sharp';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {openRun} from '../../src/queries/open-run.js';
import {stageNames, type StageName} from '../../src/events.js';
import {readScores} from '../../src/images/score-file.js';
import {unpackIds} from '../../src/ranking/image-ids.js';
import {inspect} from '../../src/pipeline/run.js';
import {contextFor} from '../../src/stages/context.js';
import {stages} from '../../src/stages/index.js';
import {openStore, openStoreToRead} from '../../src/store/open.js';
import type {StageRecord} from '../../src/store/stages.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {
  colours,
  colourTrainer,
  copyOf,
  doneOf,
  LABELLED,
  lastingFolder,
  look,
  orchestrate,
  outputOf,
  pupil,
  rankingRows,
  statusOf,
  TEST,
  writeData,
  type Data,
  forgetKept,
} from './pupil.js';

const POOL = 60;
const {folder, remove} = lastingFolder();
/** A finished run; tests that change it take a copy. */
const finished = path.join(folder, 'a home, finished');
let data: Data;
let firstRun: string;
/** The user's home and temporary folder while the run was made. */
const user = path.join(folder, 'user');

beforeAll(async () => {
  data = await writeData(path.join(folder, 'data'), POOL);
  mkdirSync(user);
  // Where CI is set, onnxruntime keeps its telemetry to itself anyway.
  firstRun = await outputOf(['orchestrate', data.config, '--home', finished, '--json'], {
    env: {HOME: user, XDG_CACHE_HOME: '', TMPDIR: user, CI: '', ORT_DISABLE_TELEMETRY: ''},
  });
});
afterAll(remove);

const aCopy = async () => copyOf(finished, path.join(await temporaryFolder(), 'home'));
const all = (status: string) => Object.fromEntries(stageNames.map(name => [name, status]));

/** What is recorded of a stage. */
function recordOf(home: string, name: StageName): StageRecord | null {
  const store = openStoreToRead(path.join(home, 'db/colours.sqlite'));
  try {
    return store?.stages.read(name) ?? null;
  } finally {
    store?.close();
  }
}

/** Of each stage whether it would run and why, as `status` and `--dry-run` tell it. */
async function reasons(home: string): Promise<Record<string, string>> {
  const {store, config, paths} = openRun({home});
  try {
    const stop = {requested: new AbortController().signal, forced: new AbortController().signal};
    const context = await contextFor(config, {paths, store, stop, emit: () => {}, executor: null});
    const plan = await inspect(stages, context);
    return Object.fromEntries(plan.map(({stage, verdict}) => [stage.name, verdict.reason]));
  } finally {
    store.close();
  }
}

describe('a run from pictures to report', () => {
  it('leaves nothing outside its home: no temporary file, and no id of the machine to send anywhere', () => {
    expect(readdirSync(user, {recursive: true})).toEqual([]);
  });

  it('tells in the report how busy each part of scoring was', () => {
    const page = readFileSync(path.join(finished, 'models/colours/report.html'), 'utf8');
    for (const part of ['reading', 'decoding', 'network', 'writing'])
      expect(page).toMatch(new RegExp(`busy: [^<]*${part} \\d+ %`));
  });

  it('runs all ten stages and ends with what came out', () => {
    const done = doneOf(firstRun);
    expect(done).toMatchObject({type: 'done', run: 'colours'});
    expect(Object.fromEntries(Object.entries(done.stages).map(([name, {status}]) => [name, status]))).toEqual(
      all('ran'),
    );
    expect(Object.keys(done.stages)).toEqual([...stageNames]);
    const perfect = {top1: 1, top5: 1};
    expect(done.results).toEqual({
      teacher: perfect,
      supervised: perfect,
      student_pretrained: perfect,
      student: perfect,
    });
    expect(done.selection).toEqual({
      classes: 3,
      top_p: 2,
      top_k: 5,
      scored: POOL,
      candidates: 2 * POOL,
      selected: 15,
      short_classes: 0,
      images: expect.any(Number),
      expected_precision: expect.any(Number),
    });
  });

  it('tells scripts every event as a line of JSON, first that it started', () => {
    const events = firstRun
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as {type: string});
    expect(events[0]).toEqual({type: 'started', run: 'colours', home: finished, device: 'auto'});
    expect(events.filter(({type}) => type === 'stage_finished')).toHaveLength(10);
    expect(events.find(({type}) => type === 'step')).toMatchObject({
      stage: 'teacher',
      total_steps: 2,
      images_per_second: 1000,
    });
  });

  it('says before the teacher trains that so few labels may gain nothing, unless a teacher is given', async () => {
    const warning =
      /^(\d+) pictures to train on, \d a class, and \d+ to choose by are few: .*its student may come out no better than it\. Label 25 or more a class, of which 5 are to choose by, or bring a teacher/;
    const events = firstRun
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as {type: string; stage?: string; message?: string});
    const warned = events.findIndex(({type, message}) => type === 'warning' && warning.test(message ?? ''));
    expect(warned).toBeGreaterThan(-1);
    expect(events.findIndex(({type, stage}) => type === 'stage_started' && stage === 'teacher')).toBeGreaterThan(
      warned,
    );
    const given = [
      '--teacher',
      path.join(path.dirname(colourTrainer), 'colours/colours-16.onnx'),
      '--until',
      'prepare',
      '--json',
    ];
    expect(
      await outputOf(['orchestrate', data.config, '--home', path.join(await temporaryFolder(), 'home'), ...given]),
    ).not.toContain('are few');
  });

  it('is fresh in all stages, and vouches for each file by its hash', async () => {
    const {run, stages: listed} = await statusOf(finished);
    expect(run).toBe('colours');
    expect(Object.fromEntries(listed.map(({name, status}) => [name, status]))).toEqual(all('fresh'));
    expect(listed.map(({reason}) => reason)).toEqual(listed.map(() => 'nothing changed'));
    const outputs = listed.flatMap(stage => stage.outputs);
    expect(outputs.length).toBeGreaterThan(25);
    for (const {path: relative, sha256} of outputs)
      expect(
        createHash('sha256')
          .update(readFileSync(path.join(finished, relative)))
          .digest('hex'),
      ).toBe(sha256);
  });

  it('has split, counted and published what it was told to', async () => {
    const pack = (name: string) =>
      JSON.parse(readFileSync(path.join(finished, 'data/colours/packs', name, 'pack.json'), 'utf8')) as {
        images: number;
      };
    expect(['train', 'validation', 'test', 'selected'].map(name => pack(name).images)).toEqual([
      3 * (LABELLED - 5),
      15,
      3 * TEST,
      15,
    ]);
    expect(readdirSync(path.join(finished, 'data/colours/scores'))).toHaveLength(Math.ceil(POOL / 8));
    expect(readFileSync(path.join(finished, 'models/colours/report.html'), 'utf8')).toContain(
      'pictures of three colours',
    );
  });

  it('ranks as a plain sort of all its score files does', async () => {
    const scores = path.join(finished, 'data/colours/scores');
    const candidates = colours.map((): {score: number; image: string}[] => []);
    for (const file of readdirSync(scores)) {
      const {ids, classes, logProbs} = await readScores(path.join(scores, file), 2);
      unpackIds(ids).forEach((image, row) =>
        [0, 1].forEach(position =>
          candidates[classes[position]![row]!]!.push({score: logProbs[position]![row]!, image}),
        ),
      );
    }
    const expected = candidates.flatMap((rows, position) =>
      rows
        .sort((a, b) => b.score - a.score || (a.image < b.image ? -1 : 1))
        .slice(0, 5)
        .map(({score, image}, index) => ({class: colours[position], rank: index + 1, score, image, selected: 1})),
    );
    expect(rankingRows(finished)).toMatchObject(expected);
  });
});

describe('a second orchestrate', () => {
  it('has nothing to do, starts no Python, and says so', async () => {
    const {code, stdout, stderr} = await pupil(['orchestrate', data.config, '--home', finished], {
      env: {PUPIL_PYTHON: '/nowhere/python'},
    });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^colours: nothing to do in \d+\.\d s\n/);
    expect(stdout).toContain(`Report: ${finished}/models/colours/report.html`);
    expect(stderr.match(/^= .* fresh: nothing changed$/gm)).toHaveLength(10);
    expect(stderr).not.toContain('\u001b');
  });

  it('with another K selects anew and goes on from there, without scoring', async () => {
    const home = await aCopy();
    const ran = await orchestrate(data, home, '--set', 'select.top_k=7');
    expect(ran).toEqual({
      prepare: 'fresh',
      teacher: 'fresh',
      export: 'fresh',
      score: 'fresh',
      select: 'ran',
      pretrain: 'ran',
      finetune: 'ran',
      // Of as many steps as before.
      baseline: 'fresh',
      evaluate: 'ran',
      report: 'ran',
    });
    expect(rankingRows(home)).toHaveLength(21);
    expect(rankingRows(home)).toEqual(expect.arrayContaining(rankingRows(finished)));
  });

  it('with no P and K of its own selects one class a picture, and as many pictures as the teacher is expected to be right about', async () => {
    const home = await aCopy();
    const {stdout, stderr} = await pupil([
      'orchestrate',
      data.config,
      '--home',
      home,
      '--json',
      '--set',
      'select.top_p=auto',
      '--set',
      'select.top_k=auto',
      '--until',
      'select',
    ]);
    const {selection} = doneOf(stdout);
    // The teacher is right about all 60, and nearly sure.
    expect(selection).toMatchObject({top_p: 1, scored: POOL, candidates: POOL});
    expect(selection!['top_k']).toBeGreaterThan(POOL / 3 / 2);
    expect(selection!['top_k']).toBeLessThanOrEqual(POOL / 3);
    expect(selection!['expected_precision']).toBeGreaterThan(0.5);
    expect(stdout + stderr).not.toContain('labels that contradict each other');
  });

  it('warns loudly, before the student trains, of a P and K that give every picture every label', async () => {
    const home = await aCopy();
    const {stdout} = await pupil([
      'orchestrate',
      data.config,
      '--home',
      home,
      '--json',
      '--set',
      'select.top_p=10',
      '--set',
      'select.top_k=1000',
      '--until',
      'select',
    ]);
    const warnings = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as {type: string; message?: string})
      .flatMap(({type, message}) => (type === 'warning' ? [message] : []));
    expect(warnings).toContainEqual(
      expect.stringMatching(
        /^P = 3 and K = 1,000 put each chosen image in 3\.0 of 3 classes: labels that contradict .* Leave select\.top_p and select\.top_k out, which comes to P = 1 and K = \d+ here, or lower them\.$/,
      ),
    );
  });

  it('takes a K larger than any pool, and says which classes have fewer', async () => {
    const home = await aCopy();
    const {code, stdout} = await pupil([
      'orchestrate',
      data.config,
      '--home',
      home,
      '--json',
      '--set',
      'select.top_p=1',
      '--set',
      `select.top_k=${Number.MAX_SAFE_INTEGER}`,
      '--until',
      'select',
    ]);
    expect([code, doneOf(stdout).selection]).toEqual([0, expect.objectContaining({selected: POOL, short_classes: 3})]);
  });

  it('of which no picture has the score that was asked for ends before the student trains, naming it (exit 3)', async () => {
    const home = await aCopy();
    const {code, stderr} = await pupil([
      'orchestrate',
      data.config,
      '--home',
      home,
      '--set',
      'select.min_score=0',
      '--until',
      'pretrain',
    ]);
    expect([code, stderr]).toEqual([
      3,
      expect.stringMatching(
        /Not one of 60 images has a score of select\.min_score = 0 or more for a class\. Scores are logarithms of probabilities, 0 at most: lower it, or leave it out\.\n$/,
      ),
    ]);
  });

  it('with another shard size scores anew, comes to the same ranking, and leaves no score file of the old cut', async () => {
    const home = await aCopy();
    const ran = await orchestrate(data, home, '--set', 'score.shard_size=40', '--until', 'pretrain');
    expect(ran).toEqual({
      prepare: 'fresh',
      teacher: 'fresh',
      export: 'fresh',
      score: 'ran',
      select: 'ran',
      pretrain: 'fresh',
    });
    expect(readdirSync(path.join(home, 'data/colours/scores')).sort()).toEqual([
      'shard-00000.parquet',
      'shard-00001.parquet',
    ]);
    expect(rankingRows(home)).toEqual(rankingRows(finished));
  });

  it('with several image workers and another layout comes to the same score files, byte for byte, and tells the progress as one', async () => {
    const home = await aCopy();
    const shards = (at: string) =>
      readdirSync(path.join(at, 'data/colours/scores'))
        .sort()
        .map(name => readFileSync(path.join(at, 'data/colours/scores', name)).toString('hex'));
    forgetKept(home);
    rmSync(path.join(home, 'data/colours/scores'), {recursive: true});
    const layout = [
      'score.workers=3',
      'score.batch_size=7',
      'score.decode_threads=1',
      'score.networks=2',
      'score.network_threads=2',
    ];
    const {stdout} = await pupil([
      'orchestrate',
      data.config,
      '--home',
      home,
      '--json',
      ...layout.flatMap(key => ['--set', key]),
    ]);
    expect(doneOf(stdout).stages).toMatchObject({score: {status: 'ran'}, select: {status: 'fresh'}});
    expect(shards(home)).toEqual(shards(finished));
    const devices = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as {type: string; stage?: string; part?: string})
      .filter(({type, stage}) => type === 'device' && stage === 'score');
    expect(new Set(devices.map(({part}) => part))).toEqual(new Set(['worker 1', 'worker 2', 'worker 3']));
  });
});

describe('a picture of the pool that is a copy of a test picture, at another size', () => {
  it('is not learned from, and every command says why', async () => {
    const folder = await temporaryFolder();
    const leaky = await writeData(path.join(folder, 'data'), 30);
    const copy = path.join(folder, 'data/pool/copy.png');
    writeFileSync(
      copy,
      await sharp(path.join(folder, 'data/test/red/1.png')).resize(96, 80, {kernel: 'nearest'}).png().toBuffer(),
    );
    const home = path.join(folder, 'home');
    const ran = await pupil([
      'orchestrate',
      leaky.config,
      '--home',
      home,
      '--set',
      'select.top_k=100',
      '--until',
      'select',
    ]);
    expect(ran.stderr + ran.stdout).toContain(
      '1 chosen image looks like one of the validation or the test set; it was kept out of training (LEAK).',
    );
    const why = JSON.parse(await look(['why', copy, '--home', home, '--json'])) as {
      classes: {selected: boolean; reason: string}[];
    };
    expect(why.classes).toHaveLength(2);
    for (const {selected, reason} of why.classes) {
      expect(selected).toBe(false);
      expect(reason).toMatch(/^not selected: LEAK, looks like image [0-9a-f]{24} of the test set$/);
    }
    const {stdout} = await pupil(['rankings', '--home', home, '--json']);
    const {classes} = JSON.parse(stdout) as {classes: {candidates: number; selected: number}[]};
    expect(classes.reduce((sum, row) => sum + row.candidates - row.selected, 0)).toBe(2);
    expect(await look(['rankings', 'red', '-n', '100', '--home', home])).toMatch(/copy\.png +left out: LEAK\n/);
    expect(await look(['status', '--home', home])).toContain('LEAK');
  });
});

describe('an output that is lost or altered', () => {
  it('makes its stage stale, each of them, with its name as the reason', async () => {
    const home = await aCopy();
    for (const name of stageNames) {
      for (const relative of recordOf(home, name)?.outputs.flatMap(output => output.path ?? []) ?? []) {
        const file = path.join(home, relative);
        renameSync(file, `${file}.away`);
        expect((await reasons(home))[name]).toBe(`${relative} is missing`);
        renameSync(`${file}.away`, file);
      }
    }
    expect(new Set(Object.values(await reasons(home)))).toEqual(new Set(['nothing changed']));
  });

  it('is noticed though its size and its time are as they were', async () => {
    const home = await aCopy();
    const relative = 'data/colours/scores/shard-00003.parquet';
    const file = path.join(home, relative);
    const {atime, mtime} = statSync(file);
    const bytes = readFileSync(file);
    bytes[40]! ^= 1;
    writeFileSync(file, bytes);
    utimesSync(file, atime, mtime);
    forgetKept(home);
    expect(await reasons(home)).toMatchObject({
      export: 'nothing changed',
      score: `${relative} is not what was written`,
      select: 'follows score',
    });
  });

  it('of score costs scoring that one shard again', async () => {
    const home = await aCopy();
    const before = rankingRows(home);
    forgetKept(home);
    rmSync(path.join(home, 'data/colours/scores/shard-00003.parquet'));
    const {code, stderr} = await pupil(['orchestrate', data.config, '--home', home]);
    expect(code).toBe(0);
    expect(stderr).toContain('  score     52 of 60 images are scored already\n');
    expect(stderr.match(/^= .*/gm)).toHaveLength(9);
    expect(rankingRows(home)).toEqual(before);
  });

  it('is stale where another onnxruntime, sharp or kind of processor had made it, or other settings had', async () => {
    const home = await aCopy();
    forgetKept(home);
    const record = recordOf(home, 'score')!;
    const today = record.ingredients!;
    for (const [name, earlier] of [
      ['onnxruntime', '1.0.0'],
      ['sharp', '0.1.0'],
      ['provider', 'cuda'],
      ['score.decode', 'fast'],
      ['classes kept', '1'],
    ] as const) {
      const store = openStore(path.join(home, 'db/colours.sqlite'));
      store.stages.finish({...record, status: 'done', ingredients: {...today, [name]: earlier}});
      store.close();
      expect(await reasons(home)).toMatchObject({
        export: 'nothing changed',
        score: `${name} changed from ${earlier} to ${today[name]}`,
        select: 'follows score',
      });
    }
  });

  it('of prepare costs preparing again, and nothing after it: scores and rankings stay', async () => {
    const home = await aCopy();
    forgetKept(home);
    rmSync(path.join(home, 'data/colours/packs/train/images.u8'));
    expect(await orchestrate(data, home)).toEqual({...all('fresh'), prepare: 'ran'});
    expect(rankingRows(home)).toEqual(rankingRows(finished));
    expect(JSON.parse(await outputOf(['rankings', 'red', '--home', home, '--json']))).toMatchObject({selected: 5});
    expect(await orchestrate(data, home, '--set', 'select.top_k=6', '--until', 'select')).toMatchObject({
      score: 'fresh',
      select: 'ran',
    });
  });
});

describe('a part', () => {
  it('--until stops there, and the same command without it goes on', async () => {
    const home = path.join(await temporaryFolder(), 'home');
    const until = await orchestrate(data, home, '--until', 'teacher');
    expect(until).toEqual({prepare: 'ran', teacher: 'ran'});
    expect(stageNames.map(name => recordOf(home, name)?.status)).toEqual([
      'done',
      'done',
      ...Array.from({length: 8}, () => undefined),
    ]);
    const {code, stderr} = await pupil(['orchestrate', data.config, '--home', home, '--only', 'select']);
    expect([code, stderr.trimEnd().split('\n').at(-1)]).toEqual([
      2,
      'select reads what score makes, and score has not run yet. Run pupil orchestrate without --from and --only first.',
    ]);
  });

  it('of other settings tells no result of those before, and nothing rests on what is out of date', async () => {
    const home = await aCopy();
    const changed = ['orchestrate', data.config, '--home', home, '--set', 'labelled.per_class=6'];
    expect(doneOf(await outputOf([...changed, '--until', 'prepare', '--json']))).toMatchObject({
      stages: {prepare: {status: 'ran'}},
      results: null,
      selection: null,
    });
    expect(await outputOf([...changed, '--until', 'prepare'])).toMatch(/^colours: nothing to do in \S+ s\n$/);
    const refused =
      'would rest on a result of other settings: teacher is out of date (prepare.train changed, and prepare.validation too). Run pupil orchestrate without --from and --only first, or put the settings back.';
    for (const [part, name] of [
      ['--only', 'evaluate'],
      ['--from', 'select'],
    ]) {
      const {code, stderr} = await pupil([...changed, part!, name!]);
      expect([code, stderr.trimEnd().split('\n').at(-1)]).toEqual([2, `${name} ${refused}`]);
    }
    const report = await pupil(['report', '--home', home]);
    expect([report.code, report.stderr]).toEqual([2, `report ${refused}\n`]);
    // What was measured is told with the settings under which it was.
    await orchestrate(data, home, '--run', 'other', '--set', 'labelled.per_class=6', '--until', 'prepare');
    expect(JSON.parse(await look(['compare', 'colours', 'other', '--home', home, '--json']))).toMatchObject({
      a: {results: {student: {top1: 1}}},
      differences: [{key: 'labelled.per_class', a: 'null', b: '6'}],
    });
  });

  it('--only runs that stage though it is fresh', async () => {
    expect(await orchestrate(data, await aCopy(), '--only', 'select')).toEqual({select: 'ran'});
  });
});

describe('figures that were asked for besides', () => {
  it('stand beside the headline in words and JSON, and are left out where nobody asked', async () => {
    const home = await aCopy();
    expect(await outputOf(['orchestrate', data.config, '--home', home])).not.toMatch(/flipped|ECE/);
    expect(JSON.parse(firstRun.trimEnd().split('\n').at(-1)!)).toMatchObject({
      flipped: null,
      calibration: {student: {temperature: 1, ece_before: 0.1, ece_after: 0.1}, student_pretrained: {temperature: 1}},
    });
    const asked = [
      'orchestrate',
      data.config,
      '--home',
      home,
      '--set',
      'evaluate.flip=true',
      '--set',
      'student.temperature=fit',
    ];
    const text = await outputOf(asked);
    expect(text).toMatch(/^ +top-1 +top-5 +flipped +ECE$/m);
    expect(text).toMatch(/^student, fine-tuned +100\.0 % +100\.0 % +100\.0 % +5\.0 %$/m);
    expect(text).toContain('flipped: top-1 with mirror images as well, which is not the headline');
    expect(
      Math.max(
        ...text
          .split('\n')
          .filter(line => !line.startsWith('Report:'))
          .map(line => line.length),
      ),
    ).toBeLessThanOrEqual(80);
    const done: unknown = JSON.parse((await outputOf([...asked, '--json'])).trimEnd().split('\n').at(-1)!);
    const perfect = {top1: 1, top5: 1};
    expect(done).toMatchObject({
      results: {student: perfect},
      flipped: {student: perfect, student_pretrained: perfect},
      calibration: {student: {temperature: 0.5, ece_before: 0.1, ece_after: 0.05}},
    });
    expect(await outputOf(['status', '--home', home])).toContain(
      'student 100.0 % (100.0 % with mirror images as well)',
    );
    const page = readFileSync(path.join(home, 'models/colours/report.html'), 'utf8');
    for (const shown of [
      'not the headline',
      'was 10.0 %',
      '<code>batch_size</code> 128',
      'Supervised baseline: learning rate by step',
    ])
      expect(page).toContain(shown);
  });

  it('are compared between runs where one of them has any', async () => {
    const home = await aCopy();
    await orchestrate(data, home, '--run', 'other', '--set', 'evaluate.flip=true', '--set', 'student.temperature=fit');
    const text = await outputOf(['compare', 'colours', 'other', '--home', home]);
    expect(text).toMatch(/^student top-1, flipped +100\.0 %$/m);
    expect(text).toMatch(/^student calibration error +10\.0 % +5\.0 %$/m);
    expect(await outputOf(['compare', 'colours', 'colours', '--home', home])).not.toMatch(/flipped|calibration/);
  });
});

it('takes the teacher for the baseline where both are the same training, and trains it once', async () => {
  const home = await aCopy();
  const of = (output: string) =>
    output
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as {type: string; stage?: string; message?: string});
  const baselines = (output: string) =>
    of(output).filter(({type, stage}) => type === 'step' && stage === 'baseline').length;
  expect(baselines(firstRun)).toBe(4);
  // As many steps as the student has in both its trainings.
  const again = await outputOf(['orchestrate', data.config, '--home', home, '--json', '--set', 'teacher.epochs=4']);
  expect(baselines(again)).toBe(0);
  expect(of(again).map(({message}) => message)).toContain(
    'not trained again: colours has a training of the same recipe, data and number of steps',
  );
  const weights = (name: string) => readFileSync(path.join(home, `models/colours/${name}/model.safetensors`), 'utf8');
  expect(weights('supervised')).toBe(weights('teacher'));
});

it('hands TensorBoard a folder of its own for each training, and is not stale for it', async () => {
  const home = await aCopy();
  expect(await orchestrate(data, home, '--set', 'train.tensorboard=true')).toEqual(all('fresh'));
  forgetKept(home);
  await orchestrate(data, home, '--set', 'train.tensorboard=true', '--only', 'finetune');
  const task = JSON.parse(readFileSync(path.join(home, 'data/colours/attempts/finetune/train.json'), 'utf8')) as {
    tensorboard: string;
  };
  expect(task.tensorboard).toBe(path.join(home, 'data/colours/tensorboard/student'));
});

it('a report that says what the run is about is written anew where that is another thing', async () => {
  const home = await aCopy();
  const about = ['--set', 'about=Birds of the marsh'];
  expect(await orchestrate(data, home, ...about)).toEqual({...all('fresh'), report: 'ran'});
  expect(readFileSync(path.join(home, 'models/colours/report.html'), 'utf8')).toContain('Birds of the marsh');
  expect(await orchestrate(data, home, ...about)).toEqual(all('fresh'));
});

describe('a dry run', () => {
  it('of a new run tells what would run and how much it is, and writes nothing', async () => {
    const home = path.join(await temporaryFolder(), 'home');
    const {stages: listed} = JSON.parse(
      await outputOf(['orchestrate', data.config, '--home', home, '--dry-run', '--json', '--until', 'score']),
    ) as {stages: {name: string; seconds: number}[]};
    expect(listed).toMatchObject([
      {name: 'prepare', status: 'stale', wanted: true, reason: 'never ran', images: 3 * LABELLED + 3 * TEST + POOL},
      {name: 'teacher', status: 'stale', wanted: true, steps: 2},
      {name: 'export', wanted: true, images: 15},
      {name: 'score', wanted: true, images: POOL},
      {name: 'select', wanted: false},
      ...Array.from({length: 5}, () => ({wanted: false})),
    ]);
    // Start-up, export and packing take their time, too.
    expect(listed.map(({seconds}) => seconds > 0)).toEqual(listed.map(() => true));
    expect(() => readdirSync(home)).toThrow('ENOENT');
  });

  it('of a finished run changes no byte of it', async () => {
    const home = await aCopy();
    const files = () =>
      readdirSync(home, {recursive: true, encoding: 'utf8'})
        .sort()
        .filter(name => name !== 'db' && !/-(shm|wal)$/.test(name))
        .map(name => [name, statSync(path.join(home, name)).mtimeMs]);
    const before = files();
    const text = await outputOf(['orchestrate', data.config, '--home', home, '--dry-run', '--set', 'select.top_k=7']);
    expect(text).toMatch(/^select +would run .* select\.top_k changed from 5 to 7$/m);
    expect(text).toMatch(/^score +fresh +nothing changed$/m);
    expect(files()).toEqual(before);
  });
});

describe('what is wrong with the machine is told before any work (exit 4)', () => {
  it.each([
    [
      'a Python that is not there',
      [],
      {PUPIL_PYTHON: '/nowhere/python'},
      'There is no Python at /nowhere/python (from PUPIL_PYTHON). Give the path of an interpreter that has torch 2.11 or newer.',
    ],
    [
      'a torch that is too old',
      [],
      {PUPIL_COLOUR_TRAINER_RUNTIME: 'torch 2.10.1'},
      `${colourTrainer} has torch 2.10.1; torch 2.11 or newer is needed. Run npm run setup for an environment of pupil's own, or name another with --python.`,
    ],
    [
      'a GPU that was asked for',
      ['--device', 'cuda'],
      {},
      'There is no cuda:0: this trainer knows colours only. Use --device cpu.',
    ],
  ])('%s', async (_, args, env, message) => {
    const home = path.join(await temporaryFolder(), 'home');
    const {code, stderr} = await pupil(['orchestrate', data.config, '--home', home, ...args], {env});
    expect(stderr.trimEnd().split('\n').at(-1)).toBe(message);
    expect(stderr).not.toContain('    at ');
    expect(code).toBe(4);
    expect(stageNames.map(name => recordOf(home, name))).toEqual(stageNames.map(() => null));
  });

  it('a database of a newer pupil, which stays as it is', async () => {
    const home = await aCopy();
    const file = path.join(home, 'db/colours.sqlite');
    const connection = new Database(file);
    connection.pragma('user_version = 99');
    connection.close();
    const before = readFileSync(file);
    const {code, stderr} = await pupil(['orchestrate', data.config, '--home', home]);
    expect([code, stderr]).toEqual([4, expect.stringContaining('was made by a newer pupil (database version 99;')]);
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  it('a damaged database, which is never deleted', async () => {
    const home = await aCopy();
    const file = path.join(home, 'db/colours.sqlite');
    const damaged = readFileSync(file);
    damaged.fill(0xee, 4096);
    writeFileSync(file, damaged);
    for (const command of [['orchestrate', data.config], ['status']]) {
      const {code, stderr} = await pupil([...command, '--home', home]);
      expect([code, stderr]).toEqual([4, expect.stringMatching(/is damaged and was left as it is/)]);
    }
    expect(readFileSync(file).equals(damaged)).toBe(true);
  });
});

describe('a gate', () => {
  it('stops the run before scoring where PyTorch and onnxruntime disagree (exit 5)', async () => {
    const home = await aCopy();
    const {code, stderr} = await pupil(['orchestrate', data.config, '--home', home, '--from', 'export'], {
      env: {PUPIL_COLOUR_TRAINER_ERROR: '0.5'},
    });
    expect(code).toBe(5);
    expect(stderr).toContain(
      'PyTorch and onnxruntime disagree on the validation images: log-probabilities differ by up to 0.50 (allowed 0.02)',
    );
    expect(recordOf(home, 'export')).toMatchObject({status: 'failed', outputs: []});
    expect(stderr).not.toContain('> score');
  });

  it('stops the run before selecting where the teacher tells nothing apart (exit 5)', async () => {
    const {folder: same} = data;
    const original = sharp(path.join(same, 'pool/0.png'));
    mkdirSync(path.join(same, 'alike'));
    for (const compressionLevel of [1, 6, 9])
      await original
        .clone()
        .png({compressionLevel, adaptiveFiltering: compressionLevel === 6})
        .toFile(path.join(same, 'alike', `${compressionLevel}.png`));
    const home = path.join(await temporaryFolder(), 'home');
    const {code, stderr} = await pupil([
      'orchestrate',
      data.config,
      '--home',
      home,
      '--unlabelled',
      path.join(same, 'alike'),
    ]);
    expect(code).toBe(5);
    expect(stderr).toMatch(/\nAll 3 images have the same best score \(-\S+\), so that none is surer than another\./);
  });
});

describe('a ready-made teacher', () => {
  it('in ONNX stands in for training and export, and is scored with as it is', async () => {
    const home = path.join(await temporaryFolder(), 'home');
    const given = ['--teacher', path.join(path.dirname(colourTrainer), 'colours/colours-16.onnx')];
    expect(await orchestrate(data, home, ...given, '--until', 'score')).toEqual({
      prepare: 'ran',
      teacher: 'skipped',
      export: 'skipped',
      score: 'ran',
    });
    expect(await orchestrate(data, home, ...given, '--until', 'score')).toEqual({
      prepare: 'fresh',
      teacher: 'skipped',
      export: 'skipped',
      score: 'fresh',
    });
    expect(readFileSync(path.join(home, 'data/colours/scores/shard-00000.parquet')).length).toBeGreaterThan(1000);
  });

  it('whose list of classes is no UTF-8 is refused with the line (exit 3)', async () => {
    const home = path.join(await temporaryFolder(), 'home');
    const names = path.join(await temporaryFolder(), 'names.txt');
    writeFileSync(names, Buffer.from('blue\ngr\xfcn\nred\n', 'latin1'));
    const {code, stderr} = await pupil([
      'orchestrate',
      data.config,
      '--home',
      home,
      '--teacher',
      path.join(path.dirname(colourTrainer), 'colours/colours-16.onnx'),
      '--set',
      `teacher.classes=${names}`,
    ]);
    expect([code, stderr.trimEnd().split('\n').at(-1)]).toEqual([
      3,
      expect.stringContaining(`teacher.classes ${names}: line 2 `),
    ]);
  });

  it('that is none is refused by its name (exit 3)', async () => {
    const home = await aCopy();
    const garbage = path.join(await temporaryFolder(), 'teacher.onnx');
    writeFileSync(garbage, 'garbage');
    const run = async (teacher: string) => {
      const {code, stderr} = await pupil(['orchestrate', data.config, '--home', home, '--teacher', teacher]);
      return [code, stderr.trimEnd().split('\n').at(-1)];
    };
    expect(await run(garbage)).toEqual([3, expect.stringMatching(/model\.onnx .*no ONNX file/)]);
    expect(await run('/nowhere/t.pt')).toEqual([
      3,
      expect.stringContaining('Cannot read the teacher /nowhere/t.pt: ENOENT'),
    ]);
    expect(await run(data.config)).toEqual([
      3,
      `${data.config} is no model that can stand in for the teacher. Expected .safetensors, .pt, .pth or .onnx.`,
    ]);
  });
});

it('warns, before the teacher trains on several hosts, that whoever reaches the port may run code there, and says what to start on the others', async () => {
  const home = path.join(await temporaryFolder(), 'home');
  const several = ['train.hosts=2', 'train.address=10.0.0.1:29500'].flatMap(setting => ['--set', setting]);
  const {code, stdout} = await pupil(
    ['orchestrate', data.config, '--home', home, '--json', '--until', 'teacher', ...several],
    {env: {PUPIL_COLOUR_TRAINER_BACKENDS: 'gloo'}},
  );
  expect(code).toBe(0);
  const said = stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as {type: string; message?: string});
  const warned = said.findIndex(
    ({type, message}) => type === 'warning' && /^whoever reaches 10\.0\.0\.1:29500.* may run code/.test(message ?? ''),
  );
  expect(warned).toBeGreaterThan(-1);
  expect(said.findIndex(({type}) => type === 'step' || type === 'evaluated')).toBeGreaterThan(warned);
  expect(said.flatMap(({type, message}) => (type === 'note' && message?.includes('--host=1') ? message : []))).toEqual([
    expect.stringMatching(/trainer\.launch .*--address=10\.0\.0\.1:29500 --host=1$/),
  ]);
});

it('ends a failed run with a line for scripts, too', async () => {
  for (const [at, colour] of colours.entries())
    for (let number = at; number < 18; number += 3)
      cpSync(path.join(data.folder, 'pool', `${number}.png`), path.join(data.folder, 'other', colour, `${number}.png`));
  const {code, stdout} = await pupil([
    'orchestrate',
    data.config,
    '--home',
    finished,
    '--json',
    '--labelled',
    path.join(data.folder, 'other'),
  ]);
  expect(code).toBe(3);
  expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({
    type: 'failed',
    exit_code: 3,
    code: 'OTHER_DATA',
    message: expect.stringContaining('Run colours was made from other data') as string,
  });
});
