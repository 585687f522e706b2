// Judges inputs in a process of its own, which may hang or die of them: a request a line on stdin, an outcome a line on
// file descriptor 3. Each is judged twice.
import {writeSync} from 'node:fs';
import {mkdir, rm} from 'node:fs/promises';
import path from 'node:path';
import {createInterface} from 'node:readline';
import {outcomeOf} from './outcome.mjs';
import {targets} from './targets/index.mjs';

const OUTCOMES = 3;
// They go to a whole group of processes; the parent closes stdin when the case is done.
for (const stop of ['SIGINT', 'SIGTERM']) process.on(stop, () => {});
const {signal} = new AbortController();

for await (const line of createInterface({input: process.stdin})) {
  const {target, folder} = JSON.parse(line);
  const {judge} = targets.find(({name}) => name === target);
  const cache = path.join(path.dirname(folder), 'cache');
  await mkdir(cache, {recursive: true});
  const first = await outcomeOf(() => judge({folder, cache, signal}));
  const second = await outcomeOf(() => judge({folder, cache, signal}));
  process.chdir(path.dirname(folder));
  await rm(cache, {recursive: true, force: true});
  writeSync(OUTCOMES, `${JSON.stringify({first, second, memory: process.memoryUsage.rss()})}\n`);
}
