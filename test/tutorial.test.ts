/** Runs the tutorial as a reader would, in a shell, with pictures of three colours in the place of photos. */
import {execFileSync} from 'node:child_process';
import {existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import {afterAll, beforeAll, expect, it} from 'vitest';
import {colours, colourTrainer, lastingFolder, picture, program} from './commands/pupil.js';

const page = readFileSync(new URL('../docs/TUTORIAL.md', import.meta.url), 'utf8');
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, 'g'))].map(([, block = '']) => block);
/** The trainer that stands in for the real one knows these classes, at 16 pixels; one seed says as much as three. */
const inColours = (text: string): string =>
  text
    .replaceAll('bus', 'blue')
    .replaceAll('frog', 'green')
    .replaceAll('rose', 'red')
    .replace('size: 64', 'size: 16')
    .replace('seeds: [0, 1, 2]', 'seeds: [0]');

const {folder, remove} = lastingFolder();
let pictures = 0;
async function put(file: string, colour: number): Promise<void> {
  mkdirSync(path.dirname(path.join(folder, file)), {recursive: true});
  const png = await picture(colours[colour]!, pictures++);
  writeFileSync(path.join(folder, file), await sharp(png).jpeg({quality: 95}).toBuffer());
}

beforeAll(async () => {
  for (const [colour, name] of colours.entries()) {
    for (let number = 1; number <= 25; number++) await put(`photos/train/${name}/${number}.jpg`, colour);
    for (let number = 1; number <= 4; number++) await put(`photos/test/${name}/${number}.jpg`, colour);
  }
  for (let number = 1; number <= 12; number++) await put(`photos/pool/${number}.jpg`, number % 3);
  await put('photos/pool/2024/cam3/0001.jpg', 0);
  const [config = '', experiment = ''] = blocks('yaml');
  writeFileSync(path.join(folder, 'photos.yaml'), inColours(config));
  writeFileSync(path.join(folder, 'by-k.yaml'), inColours(experiment));
});
afterAll(remove);

const run = (command: string): string =>
  execFileSync('sh', ['-c', command.replaceAll('npx pupil', `'${process.execPath}' '${program}'`)], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {...process.env, PUPIL_PYTHON: colourTrainer, NO_COLOR: '1'},
  });

it('every command of the tutorial does what the page says of it', async () => {
  const commands = blocks('sh').flatMap(block => block.trimEnd().split('\n'));
  expect(commands.length).toBeGreaterThan(10);
  const said: {command: string; stdout: string}[] = [];
  for (const command of commands) {
    // The reader has more pictures when asked what follows from them.
    if (command === 'npx pupil status' && said.some(({command}) => command.includes(' why ')))
      for (let number = 100; number < 103; number++) await put(`photos/pool/${number}.jpg`, number % 3);
    said.push({command, stdout: run(inColours(command))});
  }
  const outputs = (start: string) =>
    said.filter(({command}) => command.startsWith(`npx pupil ${start}`)).map(({stdout}) => stdout);
  expect(outputs('orchestrate photos.yaml --dry-run')[0]).toContain('Nothing was written.');
  expect(outputs('status')[1]?.replaceAll(/\s+/g, ' ')).toContain('3 of 16 pictures are new');
  expect(existsSync(outputs('report')[0]!.trim())).toBe(true);
  expect(outputs('why')[0]).toMatch(/photos\/pool\/1\.jpg/);
  expect(outputs('experiment')[0]).toMatch(/few/);
  expect(outputs('predict')[0]!.match(/green/g)!.length).toBeGreaterThanOrEqual(4);
  expect(said.at(-1)?.stdout).toMatch(/model\.json[^]*model\.onnx/);
}, 1_800_000);
