import {mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import {afterAll, beforeAll, describe, expect, it} from 'vitest';
import {z} from 'zod';
import {toPrintable} from '../../src/images/printable-path.js';
import {
  colours,
  copyOf,
  lastingFolder,
  look,
  outputOf,
  picture,
  pupil,
  rankingRows,
  statusOf,
  TEST,
  writeData,
  type Data,
} from './pupil.js';

/** Names that a shell, a terminal or a parser could stumble over. */
const hostile = [
  '--help.png',
  '-rf.png',
  'line\nbreak.png',
  'red \u001b[31m.png',
  `it's "quoted"; $(rm).png`,
  'große Eule.png',
  'a,b#c?.png',
  '\\x41.png',
].map(name => Buffer.from(name));
const notUtf8 = Buffer.from([0x6e, 0xff, 0xfe, 0x2e, 0x70, 0x6e, 0x67]);

const {folder, remove} = lastingFolder();
const home = path.join(folder, 'home');
let data: Data;
const pool = (name: string) => path.join(data.folder, 'pool', name);

beforeAll(async () => {
  data = await writeData(path.join(folder, 'data'), 24);
  for (const [number, name] of [...hostile, notUtf8].entries())
    writeFileSync(Buffer.concat([Buffer.from(`${data.folder}/pool/`), name]), await picture('red', 500 + number));
  writeFileSync(pool('broken.jpg'), '<!DOCTYPE html>');
  writeFileSync(pool('leak.png'), readFileSync(path.join(data.folder, 'test/red/0.png')));
  writeFileSync(pool('twin.png'), readFileSync(pool('0.png')));
  mkdirSync(home);
  await outputOf([
    'orchestrate',
    data.config,
    '--home',
    home,
    '--run',
    'greedy',
    '--max-failures',
    '0.1',
    '--until',
    'select',
    '--set',
    'select.top_k=100',
    '--set',
    'about=keeps all',
  ]);
  await outputOf(['orchestrate', data.config, '--home', home, '--max-failures', '0.1']);
});
afterAll(remove);

const json = async (...args: string[]): Promise<unknown> => JSON.parse(await look([...args, '--home', home, '--json']));
/** Escape codes and control characters, which must not reach a terminal out of a file's name. */
// eslint-disable-next-line no-control-regex
const controls = /[\u0000-\u0009\u000b-\u001f\u007f]/;
const POOL = 24 + hostile.length + 1;

const ranking = z.strictObject({
  run: z.string(),
  class: z.string(),
  candidates: z.number(),
  selected: z.number(),
  cutoff: z.number(),
  rows: z.array(
    z.strictObject({
      rank: z.number(),
      score: z.number(),
      image: z.string(),
      place: z.string(),
      selected: z.boolean(),
      also: z.array(z.strictObject({class: z.string(), rank: z.number()})),
    }),
  ),
});
const verdict = z.strictObject({
  run: z.string(),
  image: z.string(),
  places: z.array(z.string()),
  classes: z.array(
    z.strictObject({
      class: z.string(),
      position: z.number(),
      score: z.number(),
      rank: z.number().nullable(),
      cutoff: z.number().nullable(),
      selected: z.boolean(),
      reason: z.string(),
    }),
  ),
  reason: z.string().optional(),
});
const rankingOf = async (...args: string[]) => ranking.parse(await json('rankings', ...args));
const whyOf = async (image: string, ...args: string[]) => verdict.parse(await json('why', image, ...args));

describe('pupil status', () => {
  it('tells each stage in a line, and what was set aside with its reason', async () => {
    const text = await look(['status', '--home', home]);
    expect(text).toMatch(new RegExp(`^Run colours in ${home}\n`));
    expect(text).toMatch(/^score +fresh +\S+ s +33 images scored at \S+ images\/s \(\w+ \d+ % busy\), 1 set aside$/m);
    expect(text).toMatch(/^Images set aside:$/m);
    expect(text).toContain(`NOT_AN_IMAGE     ${pool('broken.jpg')}: `);
    expect(text).toContain(`LEAK             ${pool('leak.png')}: in the pool and in the test set: not scored`);
    expect(text).not.toMatch(controls);
  });

  it('tells of a run that was not finished', async () => {
    const {run, stages} = await statusOf(home, '--run', 'greedy');
    expect(run).toBe('greedy');
    expect(stages.map(({status}) => status)).toEqual([
      'fresh',
      'fresh',
      'fresh',
      'fresh',
      'fresh',
      ...Array.from({length: 5}, () => 'never'),
    ]);
  });

  it('of a run that is not there names those that are (exit 2)', async () => {
    await expect(look(['status', '--home', home, '--run', 'nothing'])).rejects.toMatchObject({
      exitCode: 2,
      message: `There is no run "nothing" in ${home}. Runs there: colours, greedy.`,
    });
  });

  it('takes a name for no path', async () => {
    await expect(look(['status', '--home', home, '--run', '../db/colours'])).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('There is no run "../db/colours" in ') as string,
    });
  });

  it('works where the pictures are gone', async () => {
    renameSync(path.join(data.folder, 'pool'), path.join(data.folder, 'away'));
    try {
      const {stages} = await statusOf(home);
      expect(stages[0]).toMatchObject({
        status: 'stale',
        reason: expect.stringMatching(/^cannot be checked: .* there is nothing at /) as string,
      });
    } finally {
      renameSync(path.join(data.folder, 'away'), path.join(data.folder, 'pool'));
    }
  });
});

describe('pupil rankings', () => {
  it('sums up every class, and marks the short ones', async () => {
    const text = await look(['rankings', '--home', home]);
    expect(text.split('\n')[0]).toMatch(/^class +candidates +selected +cut-off$/);
    expect(text).toMatch(/^red +\d+ +5 +-\d\.\d{5}$/m);
    const {classes} = z
      .object({
        classes: z.array(
          z.object({class: z.string(), candidates: z.number(), selected: z.number(), short: z.boolean()}),
        ),
      })
      .parse(await json('rankings', '--run', 'greedy'));
    expect(classes.map(row => row.class)).toEqual([...colours]);
    expect(classes.every(row => row.short && row.selected === row.candidates)).toBe(true);
    expect(classes.reduce((sum, row) => sum + row.candidates, 0)).toBe(2 * POOL);
  });

  it('of one class gives rank, score, image, place and where else it was selected', async () => {
    const {rows, ...head} = await rankingOf('red');
    expect(head).toMatchObject({run: 'colours', class: 'red', selected: 5, cutoff: rows[4]?.score});
    expect(rows.map(({rank}) => rank)).toEqual([1, 2, 3, 4, 5]);
    expect(rows.map(({score}) => score)).toEqual(rows.map(({score}) => score).sort((a, b) => b - a));
    expect(rows.map(({rank, score, image, place}) => ({class: 'red', rank, score, image, place, selected: 1}))).toEqual(
      rankingRows(home).slice(10),
    );
    expect((await rankingOf('red', '--run', 'greedy')).rows[0]?.also).toEqual([
      {class: expect.stringMatching(/blue|green/) as string, rank: expect.any(Number) as number},
    ]);
  });

  it('gives a part of it with -n and --offset', async () => {
    const {rows} = await rankingOf('red');
    expect((await rankingOf('red', '-n', '2', '--offset', '1')).rows).toEqual(rows.slice(1, 3));
    expect((await rankingOf('red', '-n', '2', '--offset', '99')).rows).toEqual([]);
  });

  it('is CSV that holds any name', async () => {
    const csv = await look(['rankings', 'red', '--run', 'greedy', '--home', home, '--csv', '-n', '100']);
    const [head, ...lines] = csv.trimEnd().split('\n');
    expect(head).toBe('rank,score,image,place,selected,also');
    expect(lines).toHaveLength((await rankingOf('red', '--run', 'greedy')).selected);
    expect(csv).toContain(`"${pool('it\'s ""quoted""; $(rm).png')}"`);
    expect(csv).toContain(`"${pool('a,b#c?.png')}"`);
  });

  it('of a class that is not there names the nearest (exit 2)', async () => {
    await expect(look(['rankings', 'gren', '--home', home])).rejects.toMatchObject({
      exitCode: 2,
      message: 'There is no class "gren". Did you mean green? See all 3 with pupil rankings.',
    });
  });
});

describe('pupil why', () => {
  it('tells of a selected image its classes, scores, ranks and cut-offs', async () => {
    const [first] = (await rankingOf('red')).rows;
    const {classes, ...image} = await whyOf(first!.place);
    expect(image).toMatchObject({run: 'colours', image: first!.image, places: [first!.place]});
    expect(classes).toHaveLength(2);
    expect(classes[0]).toMatchObject({
      class: 'red',
      position: 1,
      score: first!.score,
      rank: 1,
      selected: true,
      reason: 'selected: rank 1 of the 5 kept',
    });
  });

  it('tells of one that was not selected that it is below the cut-off', async () => {
    const selected = new Set((await rankingOf('red')).rows.map(({image}) => image));
    const other = (await rankingOf('red', '--run', 'greedy', '-n', '100')).rows.find(({image}) => !selected.has(image));
    const [red] = (await whyOf(other!.image)).classes.filter(row => row.class === 'red');
    expect(red).toMatchObject({rank: null, selected: false, reason: 'not selected: below the cut-off of the 5 best'});
    expect(red!.score).toBeLessThanOrEqual(red!.cutoff!);
  });

  it('finds an image by its id, the beginning of it, its path from here, and any of its places', async () => {
    const {image, places} = await whyOf(pool('twin.png'));
    expect(places.sort()).toEqual([pool('0.png'), pool('twin.png')]);
    for (const name of [image, image.slice(0, 12), pool('0.png')]) expect((await whyOf(name)).image).toBe(image);
    expect(await outputOf(['why', 'pool/0.png', '--home', home], {cwd: data.folder})).toMatch(
      new RegExp(`^image ${image}\n`),
    );
  });

  it('tells why an image was not scored', async () => {
    expect(await whyOf(pool('leak.png'))).toMatchObject({
      classes: [],
      reason: expect.stringMatching(/^Not scored: LEAK, in the pool and in the test set: not scored\.$/) as string,
    });
    expect(await whyOf(pool('broken.jpg'))).toMatchObject({
      classes: [],
      reason: expect.stringMatching(/^Not scored: NOT_AN_IMAGE, /) as string,
    });
    expect(await whyOf(path.join(data.folder, 'test/red/1.png'))).toMatchObject({
      reason: 'Not scored: it is in the test set, not in the pool.',
    });
    expect((await whyOf(path.join(data.folder, 'train/red/1.png'))).reason).toMatch(
      /^Not scored: it is in the (labelled training|validation) set, not in the pool\.$/,
    );
  });

  it('of an unknown or ambiguous image says what to give (exit 2)', async () => {
    await expect(look(['why', 'nobody.png', '--home', home])).rejects.toMatchObject({
      exitCode: 2,
      message:
        'Run colours knows no image "nobody.png". Give its path, its place as pupil rankings shows it, or the beginning of its id.',
    });
  });
});

describe('pool', () => {
  /** What is no picture is not looked into before it is scored. */
  const HELD = POOL + 1;

  it('tells how much it holds and where from, in words and JSON', async () => {
    const source = {source: `folder:${path.join(data.folder, 'pool')}`, root: path.join(data.folder, 'pool')};
    // The twin is listed, too, and the one that lies in the test set.
    expect(await json('pool')).toEqual({
      run: 'colours',
      images: HELD,
      duplicates: 1,
      sources: [{...source, listed: HELD + 2}],
    });
    expect(await outputOf(['pool', '--home', home])).toBe(
      `${HELD} pictures in the pool; 1 place more holds one of them again\nsource ${' '.repeat(source.source.length - 6)} listed\n${source.source}      ${HELD + 2}\n`,
    );
  });

  it('--csv lists every picture once, and none that is in a held-out set', async () => {
    const [head, ...rows] = (await outputOf(['pool', '--home', home, '--csv'])).trimEnd().split('\n');
    expect(head).toBe('image,place');
    expect(new Set(rows.map(row => row.split(',')[0])).size).toBe(HELD);
    expect(rows).toHaveLength(HELD);
    expect(rows.filter(row => row.includes('leak.png'))).toEqual([]);
  });

  it('whose files were altered is shown by nobody (exit 4), and settled anew by the next run', async () => {
    const damaged = copyOf(home, path.join(folder, 'damaged index'));
    const index = path.join(damaged, 'data/colours/index');
    const [table] = readdirSync(index, {recursive: true, encoding: 'utf8'}).filter(
      name => name.includes('ids-') && name.endsWith('.ids'),
    );
    const bytes = readFileSync(path.join(index, table!));
    bytes[bytes.length - 6]! ^= 1;
    writeFileSync(path.join(index, table!), bytes);
    for (const args of [['pool'], ['why', pool('0.png')]])
      await expect(look([...args, '--home', damaged])).rejects.toMatchObject({exitCode: 4});
    expect((await pupil(['orchestrate', data.config, '--home', damaged, '--max-failures', '0.1'])).code).toBe(0);
    expect(await look(['pool', '--home', damaged])).toBe(await look(['pool', '--home', home]));
  });
});

describe('names that are not made for a terminal', () => {
  it('are data like any other: every image is scored', async () => {
    const places = new Set((await rankingOf('red', '--run', 'greedy', '-n', '100')).rows.map(({place}) => place));
    for (const name of [...hostile, notUtf8]) expect(places).toContain(pool(toPrintable(name)));
  });

  it('are shown without a control character, one line each', async () => {
    const text = await look(['rankings', 'red', '--run', 'greedy', '--home', home, '-n', '100']);
    expect(text).not.toMatch(controls);
    expect(text.trimEnd().split('\n')).toHaveLength(2 + (await rankingOf('red', '--run', 'greedy')).selected);
    expect(text).toContain(pool('line\\x0abreak.png'));
    expect(text).toContain(pool('red \\x1b[31m.png'));
    expect(text).toContain(pool('n\\xff\\xfe.png'));
  });

  it.each([...hostile, notUtf8].map(name => [toPrintable(name)]))(
    'are found again as they are shown: %s',
    async name => {
      expect((await whyOf(pool(name), '--run', 'greedy')).places).toEqual([pool(name)]);
    },
  );

  it('are found as the file system has them, too', async () => {
    expect((await whyOf(pool('line\nbreak.png'), '--run', 'greedy')).places).toEqual([pool('line\\x0abreak.png')]);
  });
});

describe('pupil runs and pupil compare', () => {
  it('list the runs of a home, the last one first', async () => {
    const {runs} = z
      .object({
        home: z.literal(home),
        runs: z.array(
          z.object({
            run: z.string(),
            about: z.string(),
            stages_done: z.number(),
            seconds: z.number(),
            results: z.record(z.string(), z.unknown()).nullable(),
          }),
        ),
      })
      .parse(await json('runs'));
    expect(runs.map(({run, about, stages_done: done}) => [run, about, done])).toEqual([
      ['colours', 'pictures of three colours', 10],
      ['greedy', 'keeps all', 5],
    ]);
    expect(runs[0]?.results).toEqual({
      teacher: {top1: 1, top5: 1},
      supervised: {top1: 1, top5: 1},
      student_pretrained: {top1: 1, top5: 1},
      student: {top1: 1, top5: 1},
    });
    expect(runs[1]?.results).toBe(null);
    expect(await look(['runs', '--home', home])).toMatch(
      /^colours +10 of 10 .* 100\.0 % +100\.0 % +100\.0 % +pictures of three colours\ngreedy +5 of 10 /m,
    );
  });

  it('go on past a run that is damaged, and say so', async () => {
    const copy = copyOf(home, path.join(folder, 'copy'));
    writeFileSync(path.join(copy, 'db/ruin.sqlite'), 'not a database'.repeat(1000));
    const {code, stdout, stderr} = await pupil(['runs', '--home', copy]);
    expect([code, stdout.match(/^(colours|greedy) /gm)?.length]).toEqual([0, 2]);
    expect(stderr).toContain('ruin: ');
    rmSync(copy, {recursive: true});
  });

  it('show two runs side by side, and the settings in which they differ', async () => {
    const compared = await json('compare', 'colours', 'greedy');
    expect(compared).toMatchObject({
      a: {run: 'colours', results: {student: {top1: 1}}},
      b: {run: 'greedy', results: null},
      differences: [{key: 'select.top_k', a: '5', b: '100'}],
    });
    const text = await look(['compare', 'colours', 'greedy', '--home', home]);
    expect(text).toMatch(/^select\.top_k +5 +100$/m);
    expect(text).toMatch(/^images scored +33 +33$/m);
  });
});

describe('pupil report', () => {
  it('writes the report anew and names it', async () => {
    const file = path.join(home, 'models/colours/report.html');
    const before = statSync(file).mtimeMs;
    expect(await look(['report', '--home', home])).toBe(`${file}\n`);
    expect(statSync(file).mtimeMs).toBeGreaterThan(before);
    expect(readFileSync(file, 'utf8')).toContain('line\\x0abreak.png');
  });

  it('of a run without results says what is missing (exit 3)', async () => {
    await expect(look(['report', '--home', home, '--run', 'greedy'])).rejects.toMatchObject({
      exitCode: 3,
      message: 'Run greedy has no results yet: its evaluate stage has not finished. Run pupil orchestrate.',
    });
  });
});

describe('pupil predict', () => {
  it("gives the student's classes a picture, and the reason where it cannot be read", async () => {
    const good = path.join(data.folder, 'test/green', `${TEST - 1}.png`);
    const lines = (
      await look(['predict', good, pool('broken.jpg'), '--home', home, '--run', 'colours', '--json', '--top', '2'])
    )
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as unknown);
    expect(lines).toEqual(
      expect.arrayContaining([
        {
          image: good,
          classes: [
            {class: 'green', probability: expect.closeTo(1, 0) as number},
            {class: expect.stringMatching(/red|blue/) as string, probability: expect.any(Number) as number},
          ],
        },
        {image: pool('broken.jpg'), error: {code: 'NOT_AN_IMAGE', detail: expect.any(String) as string}},
      ]),
    );
    expect(lines).toHaveLength(2);
    expect(
      await outputOf(['predict', './--help.png', '--home', home, '--run', 'colours', '--top', '1'], {
        cwd: path.join(data.folder, 'pool'),
      }),
    ).toMatch(/^\.\/--help\.png\n +\d+\.\d % +red\n$/);
  });

  it('answers each of two that ask at once with what it asked for', async () => {
    const ask = async (top: number) =>
      (await outputOf(['predict', pool('0.png'), '--home', home, '--run', 'colours', '--json', '--top', String(top)]))
        .trimEnd()
        .split('\n')
        .map(line => (JSON.parse(line) as {classes: unknown[]}).classes.length);
    expect(await Promise.all([1, 3, 2].map(ask))).toEqual([[1], [3], [2]]);
  });

  it('refuses a student that is not the one which was trained (exit 4)', async () => {
    const copy = copyOf(home, path.join(folder, 'with another student'));
    const student = path.join(copy, 'models/colours/student/model.onnx');
    writeFileSync(student, Buffer.concat([readFileSync(student), Buffer.from('\0')]));
    await expect(look(['predict', pool('0.png'), '--home', copy, '--run', 'colours'])).rejects.toMatchObject({
      exitCode: 4,
      message:
        'Run colours: models/colours/student/model.onnx is not what was written. Run pupil orchestrate, which makes it anew.',
    });
    rmSync(copy, {recursive: true});
  });

  it('fails where no picture can be read (exit 3), where one is a folder (exit 2), and before there is a student (exit 3)', async () => {
    await expect(look(['predict', pool('broken.jpg'), '--home', home, '--run', 'colours'])).rejects.toMatchObject({
      exitCode: 3,
      message: 'The picture could not be read.',
    });
    await expect(look(['predict', data.folder, '--home', home, '--run', 'colours'])).rejects.toMatchObject({
      exitCode: 2,
      message: `${data.folder} is a folder. Give picture files, such as ${data.folder}/*.jpg.`,
    });
    await expect(look(['predict', pool('0.png'), '--home', home, '--run', 'greedy'])).rejects.toMatchObject({
      exitCode: 3,
      message: expect.stringContaining('Run greedy has no student yet') as string,
    });
  });
});
