/** `pupil doctor`: proves what a run needs of this machine, and names the command that mends each fault. */
import {existsSync} from 'node:fs';
import {rm, statfs, access, constants} from 'node:fs/promises';
import {totalmem, freemem, availableParallelism} from 'node:os';
import path from 'node:path';
import type {Stop} from '../children/child.js';
import {openExecutor, type Executor} from '../children/executor.js';
import {PROTOCOL, type TaskResult} from '../children/protocol.js';
import {findPython, isClone, isRecentTorch, OLDEST_TORCH, packageFolder, setupCommand} from '../children/python-env.js';
import {loadSqlite} from '../compiled-packages.js';
import {UserError} from '../errors.js';
import {printableJson} from '../printable.js';
import {painter} from '../report/terminal.js';
import {temporaryFolder} from '../files/temporary.js';
import {bytes} from '../words.js';

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly found: string;
  /** The command that mends it; empty where nothing is wrong. */
  readonly fix: string;
}

const SETUP = isClone ? `cd ${packageFolder} && ${setupCommand}` : setupCommand;
/** A ResNet's checkpoints, a report and packs of a small run. */
const LEAST_FREE_BYTES = 2e9;

export async function doctor(
  flags: {readonly home: string; readonly python?: string | undefined; readonly json: boolean},
  stop: Stop,
): Promise<void> {
  const attempt = temporaryFolder('doctor');
  const executor = openExecutor();
  const trying: Trying = {executor, attempt, stop};
  try {
    const trainer = await pythonChecks(flags.python, trying);
    const checks = [nodeCheck(), sqliteCheck(), await workerCheck('cpu', trying), ...trainer.checks];
    if (trainer.cuda !== null) checks.push(await workerCheck(trainer.cuda, trying, trainer.python));
    checks.push(await diskCheck(flags.home), memoryCheck());
    const ok = checks.every(check => check.ok);
    if (flags.json) process.stdout.write(`${printableJson({ok, checks})}\n`);
    else {
      const paint = painter(process.stdout);
      for (const check of checks) {
        process.stdout.write(
          `${check.ok ? paint('green', 'ok   ') : paint('red', 'FAULT')} ${check.name.padEnd(12)} ${check.found}\n`,
        );
        if (!check.ok) process.stdout.write(`      ${''.padEnd(12)} mend it with: ${check.fix}\n`);
      }
    }
    if (!ok)
      throw new UserError(
        'UNFIT_MACHINE',
        `${checks.filter(check => !check.ok).length} of ${checks.length} checks found a fault.`,
      );
  } finally {
    await executor.close();
    await rm(attempt, {recursive: true, force: true});
  }
}

/** What a check that gives a task needs. */
interface Trying {
  readonly executor: Executor;
  readonly attempt: string;
  readonly stop: Stop;
}

function nodeCheck(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const ok = major > 20 || (major === 20 && minor >= 19);
  return {
    name: 'node',
    ok,
    found: `Node ${process.versions.node} on ${process.platform}/${process.arch}, ${availableParallelism()} CPU threads`,
    fix: 'install Node 20.19 or newer (22 and 24 are tested, too)',
  };
}

function sqliteCheck(): Check {
  try {
    const database = new (loadSqlite())(':memory:');
    const row = database.prepare<[], {version: string}>('SELECT sqlite_version() AS version').get();
    database.close();
    return {name: 'sqlite', ok: true, found: `SQLite ${row?.version}`, fix: ''};
  } catch (error) {
    return {name: 'sqlite', ok: false, found: `better-sqlite3 does not load: ${firstLine(error)}`, fix: SETUP};
  }
}

/** Only a run proves a device: onnxruntime opens sessions on GPUs that it cannot compute on. */
async function workerCheck(
  device: string,
  {executor, ...options}: Trying,
  python: string | null = null,
): Promise<Check> {
  const name = device === 'cpu' ? 'onnxruntime' : 'cuda scoring';
  try {
    const result = await executor.run<'probe'>(
      {name: 'worker', threads: 1, device, python},
      {protocol: PROTOCOL, task: 'probe', device},
      {...options, onEvent: () => {}},
    );
    return {name, ok: true, found: `${result.runtime} ran a model on ${result.deviceName}`, fix: ''};
  } catch (error) {
    return {name, ok: false, found: firstLine(error), fix: SETUP};
  }
}

async function pythonChecks(
  flag: string | undefined,
  {executor, ...options}: Trying,
): Promise<{checks: Check[]; cuda: string | null; python: string | null}> {
  let python: string;
  try {
    python = findPython(flag);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return {checks: [{name: 'python', ok: false, found: firstLine(error), fix: SETUP}], cuda: null, python: null};
  }
  try {
    const result = await executor.run<'probe'>(
      {name: 'trainer', python},
      {protocol: PROTOCOL, task: 'probe', device: 'auto'},
      {...options, onEvent: () => {}},
    );
    const recent = isRecentTorch(result.runtime);
    const checks: Check[] = [
      {
        name: 'python',
        ok: recent,
        found: `${result.runtime} at ${python}${flag === undefined && process.env['PUPIL_PYTHON'] ? ' (from PUPIL_PYTHON)' : ''}${recent ? '' : `; torch ${OLDEST_TORCH} or newer is needed`}`,
        fix: SETUP,
      },
      {name: 'training', ok: true, found: `on ${result.deviceName}${result.bf16 ? ', bf16' : ''}`, fix: ''},
      {name: 'processes', ok: true, found: wordSeveral(result), fix: ''},
    ];
    return {checks, cuda: result.device.startsWith('cuda') ? result.device : null, python};
  } catch (error) {
    return {
      checks: [{name: 'python', ok: false, found: `${python}: ${firstLine(error)}`, fix: SETUP}],
      cuda: null,
      python,
    };
  }
}

/** Whether several processes could train together; a machine that cannot is no faulty one. */
function wordSeveral({device, several}: TaskResult<'probe'>): string {
  const {gpus, backends} = several ?? {gpus: 0, backends: []};
  const needed = device.startsWith('cuda') ? 'nccl' : 'gloo';
  const found = gpus === 0 ? 'no GPU' : `${gpus} GPU${gpus === 1 ? '' : 's'}`;
  if (!backends.includes('gloo') || !backends.includes(needed))
    return `${found}; one process at a time, since torch has no ${needed} (train.processes: 1)`;
  return `${found}; several can train together by ${backends.join(', ')} (train.processes)`;
}

async function diskCheck(home: string): Promise<Check> {
  try {
    // The first run makes a home that is not there yet, in a folder that is.
    const place = existsSync(home) ? home : path.dirname(home);
    await access(place, constants.W_OK);
    const {bavail, bsize} = await statfs(place);
    const free = bavail * bsize;
    return {
      name: 'disk',
      ok: free > LEAST_FREE_BYTES,
      found: `${bytes(free)} free in ${home}`,
      fix: `free some space there, or name another home with --home DIR`,
    };
  } catch (error) {
    return {
      name: 'disk',
      ok: false,
      found: `${home} cannot be written: ${firstLine(error)}`,
      fix: 'name another home with --home DIR',
    };
  }
}

const memoryCheck = (): Check => ({
  name: 'memory',
  ok: true,
  found: `${bytes(freemem())} free of ${bytes(totalmem())}`,
  fix: '',
});

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
