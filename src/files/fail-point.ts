/**
 * Named places at which a process can be made to end, as by a kill, so that every one of them is tried (test/torture).
 */
import {appendFileSync} from 'node:fs';

/** All there are in TypeScript; the trainer's are in trainer/fail_point.py. */
export const failPoints = [
  'publish.before-fsync',
  'publish.after-fsync',
  'publish.before-rename',
  'publish.after-rename',
  'publish.after-folder-fsync',
  'commit.before',
  'commit.after',
  'shard.before-record',
  'shard.after-record',
] as const;

export type FailPoint = (typeof failPoints)[number];

/**
 * PUPIL_FAIL_POINT is NAME[:N[:SIGNAL[:PROCESS]]]: at the N-th passage of NAME (the first where none is given) a
 * process whose arguments, or task, contain PROCESS sends itself SIGNAL (SIGKILL). PUPIL_POINTS_PASSED names a file to which
 * every passage is added.
 */
const asked = process.env['PUPIL_FAIL_POINT'];
const passages = process.env['PUPIL_POINTS_PASSED'];
const [name, number = '1', signal = 'SIGKILL', ...rest] = asked?.split(':') ?? [];
let ours = '';
let left = 0;

/** Takes a task for what this process is at now, and counts anew. */
export function failPointsOf(task: string): void {
  ours = task;
  left = ours.includes(rest.join(':')) ? Number(number) : 0;
}
failPointsOf(process.argv.slice(2).join(' '));

/** Marks a place. Without those variables it does nothing. */
export function passFailPoint(point: FailPoint): void {
  if (passages !== undefined) appendFileSync(passages, `${point} ${ours}\n`);
  if (name === point && --left === 0) process.kill(process.pid, signal);
}
