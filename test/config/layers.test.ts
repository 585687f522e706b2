import {readFileSync, readdirSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import path from 'node:path';
import {describe, expect, it} from 'vitest';
import {modelNames} from '../../src/children/protocol.js';
import {configSchema} from '../../src/config/schema.js';
import {checkSizes, classesKept, imageSizes, studentModel, trainingSettings} from '../../src/config/rules.js';
import {configKeys, presetNames, readConfig, type ConfigFlags} from '../../src/config/layers.js';
import {UserError} from '../../src/errors.js';
import {temporaryFolder} from '../images/temporary-folder.js';

const home = '/somewhere/home';
const here = process.cwd();
const sets: ConfigFlags = {labelled: '/birds/train', unlabelled: ['/pool']};
const read = (flags: ConfigFlags) => readConfig({...sets, ...flags}, home);

/** The message of the usage error that a config is refused with. */
function refusal(flags: ConfigFlags): string {
  try {
    readConfig(flags, home);
  } catch (error) {
    if (error instanceof UserError && error.exitCode === 2) return error.message;
    throw error;
  }
  throw new Error('The config was accepted.');
}

async function yamlFile(...lines: string[]): Promise<string> {
  const file = path.join(await temporaryFolder(), 'birds.yaml');
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}

describe('a config', () => {
  it('is complete from the two sets of pictures alone', () => {
    expect(read({})).toEqual(configSchema.parse({labelled: '/birds/train', unlabelled: '/pool'}));
    expect(read({})).toMatchObject({
      run: 'run',
      seed: 0,
      select: {top_p: 'auto', top_k: 'auto'},
      labelled: {source: '/birds/train', per_class: null},
      test: null,
    });
  });

  it('takes the flag over --set of the file over the preset', async () => {
    const file = await yamlFile('select:', '  top_k: 50', '  top_p: 4', 'teacher:', '  model: resnet18');
    const config = readConfig({preset: 'demo', file, set: ['select.top_k=7']}, home);
    expect(config.select).toMatchObject({top_k: 7, top_p: 4});
    expect(config.teacher).toMatchObject({
      model: 'resnet18',
      epochs: readConfig({preset: 'demo'}, home).teacher.epochs,
    });
    expect(readConfig({preset: 'demo', file, test: '/flag/test'}, home).test).toBe('/flag/test');
  });

  it('names its run after the flag, else what the file says, else the file, else the preset', async () => {
    const named = await yamlFile('run: sparrows');
    expect(read({file: named, run: 'finches'}).run).toBe('finches');
    expect(read({file: named}).run).toBe('sparrows');
    expect(read({preset: 'demo', file: await yamlFile('seed: 3')}).run).toBe('birds');
    expect(read({preset: 'demo'}).run).toBe('demo');
  });

  it('reads `labelled: DIR` and `labelled: {source: DIR}` as the same, and joins both forms across layers', async () => {
    const short = await yamlFile('labelled: train', 'unlabelled: pool');
    const long = await yamlFile(
      'labelled: {source: train, per_class: 5}',
      'unlabelled: [pool]',
      'validation: {source: val}',
    );
    expect(readConfig({file: short}, home)).toMatchObject({
      labelled: {source: path.join(path.dirname(short), 'train'), per_class: null},
    });
    expect(readConfig({file: short, set: ['labelled.per_class=8']}, home).labelled).toEqual({
      source: path.join(path.dirname(short), 'train'),
      per_class: 8,
    });
    expect(readConfig({file: long, labelled: '/flag'}, home)).toMatchObject({
      labelled: {source: '/flag', per_class: 5},
      validation: {source: path.join(path.dirname(long), 'val'), share: 0.1},
    });
  });

  it('resolves paths of a file against its folder, of flags against the current folder, of presets against the home', async () => {
    const file = await yamlFile(
      'labelled: ../train',
      'unlabelled: [a, folder:b, rest]',
      'test: "cifar100:cifar?split=test"',
      'teacher: {file: t.pt, classes: names.txt}',
    );
    const folder = path.dirname(file);
    expect(readConfig({file}, home)).toMatchObject({
      labelled: {source: path.resolve(folder, '../train')},
      unlabelled: [path.join(folder, 'a'), `folder:${path.join(folder, 'b')}`, 'rest'],
      test: `cifar100:${path.join(folder, 'cifar')}?split=test`,
      teacher: {file: path.join(folder, 't.pt'), classes: path.join(folder, 'names.txt')},
    });
    const {labelled, unlabelled, teacher} = readConfig(
      {labelled: 'x', unlabelled: ['y'], set: ['teacher.file=z.pt']},
      home,
    );
    expect([labelled.source, ...unlabelled, teacher.file]).toEqual([
      path.join(here, 'x'),
      path.join(here, 'y'),
      path.join(here, 'z.pt'),
    ]);
    expect(readConfig({preset: 'demo'}, home).labelled.source).toBe(`${home}/data/demo-pictures/labelled`);
  });

  it.each([
    ['a number', 'select.top_k=4000', {select: {top_k: 4000}}],
    ['a list', 'limits.formats=[png, webp]', {limits: {formats: ['png', 'webp']}}],
    ['null', 'labelled.per_class=null', {labelled: {per_class: null}}],
    ['a flag', 'train.flip=false', {train: {flip: false}}],
    ['a word', 'teacher.model=resnet18', {teacher: {model: 'resnet18'}}],
    ['text with an equals sign', 'about=a=b', {about: 'a=b'}],
  ])('takes %s from --set', (_, assignment, expected) => {
    expect(read({set: [assignment]})).toMatchObject(expected);
  });

  it('takes the last of several --set of one key', () => {
    expect(read({set: ['select.top_k=1', 'select.top_k=2', 'select.top_p=3']}).select).toMatchObject({
      top_k: 2,
      top_p: 3,
    });
  });
});

describe('a wrong config', () => {
  it('is told every mistake at once, each with its place', async () => {
    const file = await yamlFile(
      'unlabelled:',
      '  - pool',
      '  - 3',
      '# a comment',
      'select:',
      '  topk: 20',
      '  top_p: 0',
      'train:',
      '  flip: "yes"',
    );
    expect(refusal({file, device: 'gpu', set: ['teacher.model=vgg']}).split('\n')).toEqual([
      '7 mistakes in the configuration:',
      '  --device device is "gpu"; expected auto, cpu, cuda or cuda:N.',
      '  No labelled pictures: give --labelled DIR (or the key labelled).',
      `  ${file}:1 unlabelled.1 is 3; expected text.`,
      '  --set teacher.model=vgg teacher.model is "vgg"; expected one of ' + modelNames.join(', ') + '.',
      `  ${file}:9 train.flip is "yes"; expected true or false.`,
      `  ${file}:7 select.top_p is 0; expected more than 0.`,
      `  ${file}:6 unknown key select.topk. Did you mean select.top_k?`,
    ]);
  });

  it('is told a single mistake in a single line that begins with the place', async () => {
    const file = await yamlFile('labelled: a', 'unlabelled: b', 'select:', '  topk: 20');
    expect(refusal({file})).toBe(`${file}:4 unknown key select.topk. Did you mean select.top_k?`);
    expect(refusal({...sets, set: ['topk=3']})).toBe('--set topk=3 unknown key topk. Did you mean select.top_k?');
    expect(refusal({...sets, set: ['trian.batch_size=3']})).toBe(
      '--set trian.batch_size=3 unknown key trian.batch_size. Did you mean train.batch_size?',
    );
    expect(refusal({...sets, set: ['teacher.model=resnet5']})).toMatch(/expected one of .*\. Did you mean resnet50\?$/);
  });

  it.each([
    ['0', 'select.top_k is 0; expected more than 0.'],
    ['1.5', 'select.top_k is 1.5; expected a whole number, or auto.'],
    ['"10"', 'select.top_k is "10"; expected a number, or auto.'],
    ['-3', 'select.top_k is -3; expected more than 0.'],
    ['null', 'select.top_k is null; expected a number, or auto.'],
  ])('is refused for K = %s', (value, message) => {
    expect(refusal({...sets, set: [`select.top_k=${value}`]})).toBe(`--set select.top_k=${value} ${message}`);
  });

  it.each([
    ['teacher.mean=[0.5, 0.5, 0.5]', 'teacher.mean is [0.5,0.5,0.5]; expected a teacher.file that it describes.'],
    ['train.momentum=2', 'train.momentum is 2; expected at most 1.'],
    ['finetune.batch_size=1', 'finetune.batch_size is 1; expected at least 2.'],
    ['train.min_area=0', 'train.min_area is 0; expected more than 0.'],
    ['image.size=big', 'image.size is "big"; expected a number, or auto.'],
    ['limits.formats=[]', 'limits.formats is []; expected at least 1 entry.'],
    ['limits.formats=[jpeg, bmp]', 'limits.formats.1 is "bmp"; expected one of jpeg, png, webp, gif, tiff, avif.'],
    ['teacher=resnet18', 'teacher is "resnet18"; expected keys and values.'],
    [
      'run=../../etc',
      'run is "../../etc"; expected letters, digits, dots, dashes and underscores, a letter or digit first.',
    ],
    ['foo=1', 'unknown key foo.'],
  ])('is refused for --set %s', (assignment, message) => {
    expect(refusal({...sets, set: [assignment]})).toBe(`--set ${assignment} ${message}`);
  });

  it('is refused where one half of a normalisation is given', () => {
    expect(refusal({...sets, set: ['teacher.file=a.pt', 'teacher.mean=[0, 0, 0]']})).toContain(
      'teacher.mean is [0,0,0]; expected teacher.std beside it.',
    );
  });

  it('is refused where sizes do not fit together, all of it at once', () => {
    const config = read({
      set: ['image.size=12', 'image.resize=10', 'student.model=cifarnet', 'finetune.pad=10', 'finetune.crop=shift'],
    });
    expect(() => checkSizes(config, {size: 12, resize: 10})).toThrow(
      'image.resize is 10; expected at least image.size, which is 12.\n' +
        'image.size is 12; expected 16 or more for student.model cifarnet, which halves a picture three times.\n' +
        'finetune.pad (or train.pad) is 10; expected less than the 10 pixels of a picture.',
    );
    expect(() => checkSizes(read({}), {size: 224, resize: 256})).not.toThrow();
  });

  it('asks for both sets of pictures where there are none', () => {
    expect(refusal({})).toMatch(/^2 mistakes.*\n.*--labelled DIR.*\n.*--unlabelled DIR/);
  });

  it('shows a number flag that is no number as such', () => {
    expect(refusal({...sets, maxFailures: NaN})).toBe('--max-failures limits.max_failures is NaN; expected a number.');
  });

  it.each([['select.top_k'], ['=5'], ['select.top_k: 5']])(
    'is refused for --set %s, which assigns nothing',
    assignment => {
      expect(refusal({...sets, set: [assignment]})).toBe(
        `--set ${assignment}: expected KEY=VALUE, such as --set select.top_k=4000.`,
      );
    },
  );

  it('is refused for YAML that cannot be read, with its line', async () => {
    const file = await yamlFile('labelled: a', 'unlabelled: [b', 'test: c');
    expect(refusal({file})).toMatch(`${file}:3 is not valid YAML: `);
    expect(refusal({file: await yamlFile('labelled: a', 'labelled: b')})).toMatch(
      /birds.yaml:2 is not valid YAML: Map keys must be unique\.$/,
    );
    expect(refusal({file: await yamlFile('- a list')})).toContain('should hold keys and values');
    expect(refusal({...sets, set: ['unlabelled=[a']})).toMatch('--set unlabelled=[a: the value is not valid YAML: ');
  });

  it('is refused for a file or a preset that is not there, naming the presets', () => {
    expect(refusal({file: 'nowhere.yaml'})).toBe('There is no config file nowhere.yaml.');
    expect(refusal({file: 'demo'})).toBe('There is no config file demo. To take the preset, write --preset demo.');
    expect(refusal({file: 'test'})).toMatch(/^test is a folder; expected a config file \(YAML\)\./);
    expect(refusal({preset: 'cifar'})).toBe(
      'There is no preset "cifar". Presets: cifar100, cifar100-cpu, demo, imagenet. Did you mean cifar100?',
    );
  });
});

describe('the presets', () => {
  it.each(presetNames())('%s parses with nothing but what it asks for, and says in one line what it is', preset => {
    const config = readConfig({...(preset.startsWith('cifar') || preset === 'imagenet' ? sets : {}), preset}, home);
    expect(config.run).toBe(preset);
    expect(config.about).toMatch(/^\S[^\n]{20,160}$/);
  });

  it('that follow an experiment name its P and K, and leave neither to `auto`', () => {
    const selectionOf = (preset: string) => readConfig({...sets, preset}, home).select;
    expect(selectionOf('cifar100')).toMatchObject({top_p: 10, top_k: 1000});
    expect(selectionOf('imagenet')).toMatchObject({top_p: 10, top_k: 16_000});
  });

  it('are the YAML files of the presets folder', () => {
    const files = readdirSync(new URL('../../presets/', import.meta.url)).filter(name => name.endsWith('.yaml'));
    expect(presetNames()).toEqual(files.map(name => name.replace('.yaml', '')).sort());
    for (const file of files)
      expect(readFileSync(new URL(`../../presets/${file}`, import.meta.url), 'utf8')).toMatch(/^about: /m);
  });
});

describe('what `auto` means', () => {
  it('is 32 px for CIFAR, else 224 px resized to 256', () => {
    expect(imageSizes(read({}), true)).toEqual({size: 32, resize: 32});
    expect(imageSizes(read({}), false)).toEqual({size: 224, resize: 256});
    expect(imageSizes(read({set: ['image.size=64']}), false)).toEqual({size: 64, resize: 64});
    expect(imageSizes(read({set: ['image.size=64', 'image.resize=70']}), false)).toEqual({size: 64, resize: 70});
  });

  it("is the teacher's net for the student, and a tenth of the pre-training rate for fine-tuning", () => {
    expect(studentModel(read({set: ['teacher.model=resnet34']}))).toBe('resnet34');
    expect(studentModel(read({set: ['teacher.model=resnet34', 'student.model=resnet18']}))).toBe('resnet18');
    const config = read({set: ['pretrain.learning_rate=0.2']});
    expect(trainingSettings(config, 'pretrain', 32).learningRate).toBe(0.2);
    expect(trainingSettings(config, 'finetune', 32).learningRate).toBeCloseTo(0.02);
  });

  it("lets a step's own key win over the one that all share", () => {
    const config = read({
      set: [
        'train.cutout=0.25',
        'train.augment=trivial',
        'pretrain.cutout=0.5',
        'finetune.augment=none',
        'teacher.batch_size=auto',
      ],
    });
    const of = (step: 'teacher' | 'pretrain' | 'finetune') => trainingSettings(config, step, 32);
    expect([of('teacher').augment.cutout, of('pretrain').augment.cutout, of('finetune').augment.cutout]).toEqual([
      0.25, 0.5, 0.25,
    ]);
    expect([of('teacher').augment.policy, of('finetune').augment.policy]).toEqual(['trivial', 'none']);
    // The rate of a batch of 256 where the trainer finds the size.
    expect(of('teacher')).toMatchObject({batchSize: null, learningRate: 0.1});
    expect(of('pretrain')).toMatchObject({batchSize: 128, learningRate: 0.05});
  });

  it('scales the rate of a ResNet with the batch, and crops by the size', () => {
    expect(trainingSettings(read({set: ['train.batch_size=256']}), 'teacher', 224)).toMatchObject({
      learningRate: 0.1,
      stem: 'imagenet',
      augment: {crop: 'resized'},
    });
    expect(trainingSettings(read({set: ['train.batch_size=64']}), 'teacher', 32)).toMatchObject({
      learningRate: 0.025,
      stem: 'small',
      augment: {crop: 'shift', pad: 4},
    });
  });

  it('keeps ten classes an image or as many as P, never more than there are', () => {
    expect(classesKept(read({}), 100)).toBe(10);
    expect(classesKept(read({set: ['select.top_p=20']}), 100)).toBe(20);
    expect(classesKept(read({}), 3)).toBe(3);
  });
});

it('lists every key that can be set, dotted', () => {
  expect(configKeys()).toEqual(
    expect.arrayContaining([
      'run',
      'labelled.source',
      'labelled.per_class',
      'unlabelled',
      'select.top_k',
      'limits.max_failures',
      'finetune.learning_rate',
    ]),
  );
});

describe('a YAML file that is no plain configuration is a mistake of its own (exit 2)', () => {
  const deep = `a: ${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...'bcdefgh'
      .split('')
      .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[index]}`).join(',')}]`),
  ].join('\n');
  it.each([
    ['aliases that multiply', bomb, /birds\.yaml has too many aliases/],
    ['an alias of nothing', 'seed: *none', /birds\.yaml.*none/],
    ['nesting without end', deep, /nested too deeply/],
    ['a key twice', 'seed: 1\nseed: 2', /birds\.yaml:2 is not valid YAML: Map keys must be unique/],
    ['a number and its text as keys', '1: a\n"1": b', /birds\.yaml:2 is not valid YAML: Map keys must be unique/],
    ['two documents', 'seed: 1\n---\nseed: 2', /birds\.yaml:\d begins a second document/],
    [
      'another encoding',
      Buffer.from('about: ok\nrun: h\xf6r', 'latin1'),
      /birds\.yaml:2 line 2 is no UTF-8 text \(byte 0xf6\)/,
    ],
  ])('%s', async (_, content, message) => {
    const file = path.join(await temporaryFolder(), 'birds.yaml');
    await writeFile(file, content);
    expect(refusal({...sets, file})).toMatch(message);
  });

  it('in --set, too', () => {
    expect(refusal({...sets, set: [`run=${'['.repeat(100_000)}`]})).toMatch(/nested too deeply/);
  });

  it('but for a byte order mark, which is none', async () => {
    const file = path.join(await temporaryFolder(), 'birds.yaml');
    await writeFile(file, '\ufeffseed: 7\n');
    expect(read({file}).seed).toBe(7);
  });
});

it('takes whole numbers in teacher.classes for names, and says what else it expects', () => {
  const of = (classes: string) => ({...sets, teacher: '/t.onnx', set: [`teacher.classes=${classes}`]});
  expect(read(of('[0, cat, 12]')).teacher.classes).toEqual(['0', 'cat', '12']);
  expect(refusal(of('[true]'))).toMatch(
    /^--set teacher\.classes=\[true\] teacher\.classes is \[true\]; expected text, or a list of which each is text, or a number\.$/,
  );
});
