import {execFile} from 'node:child_process';
import {readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {expect, it} from 'vitest';
import {z} from 'zod';
import {temporaryFolder} from '../images/temporary-folder.js';

const bench = fileURLToPath(new URL('../../bench/list-pool.mjs', import.meta.url));
const printed = z.object({records: z.literal(3000), files: z.literal(50), figures: z.record(z.string(), z.number())});
const python = process.env['PUPIL_PYTHON'];

it.skipIf(python === undefined)(
  'bench:pool lists records and files, beside its peers, and leaves nothing behind',
  async () => {
    const folder = await temporaryFolder();
    const {stdout} = await promisify(execFile)(
      process.execPath,
      [bench, '--records', '3000', '--files', '50', '--json'],
      {env: {...process.env, TMPDIR: folder}},
    );
    const {figures} = printed.parse(JSON.parse(stdout));
    expect(figures).toMatchObject({
      'hashlib / pupil': expect.any(Number) as number,
      'find / pupil': expect.any(Number) as number,
      'disk, bytes an image': expect.any(Number) as number,
      'SQLite, KB': expect.any(Number) as number,
    });
    expect(readdirSync(folder)).toEqual([]);
  },
);
