import {expect, it} from 'vitest';
import {packageFolder} from '../../src/children/python-env.js';
import {joinCommand, trainerCommand} from '../../src/children/trainer.js';

it('starts one process without a launcher', () => {
  expect(trainerCommand('/a/python').args).toEqual(['-m', 'trainer']);
  expect(trainerCommand('/a/python', {count: 1, hosts: 1, address: 'node-a:29400'}).args).toEqual(['-m', 'trainer']);
});

it('starts several on one machine without asking for its name', () => {
  expect(trainerCommand('/a/python', {count: 4, hosts: 1, address: 'node-a:29400'}).args).toEqual([
    '-m',
    'trainer.launch',
    '--processes=4',
  ]);
});

it('starts the first of several hosts, and says what the others start: the same under their own number', () => {
  const processes = {count: 1, hosts: 2, address: 'node-a:29400'};
  const options = ['-m', 'trainer.launch', '--processes=1', '--hosts=2', '--address=node-a:29400'];
  expect(trainerCommand('/a/python', processes).args).toEqual(options);
  expect(joinCommand('/a/python', processes, 1)).toBe(
    `cd ${packageFolder} && /a/python -B ${options.join(' ')} --host=1`,
  );
});
