import {expect, it} from 'vitest';
import {packageFolder} from '../../src/children/python-env.js';
import {joinCommand, trainerCommand} from '../../src/children/trainer.js';

it('starts one process without torchrun', () => {
  expect(trainerCommand('/a/python').args).toEqual(['-m', 'trainer']);
  expect(trainerCommand('/a/python', {count: 1, hosts: 1, address: 'node-a:29400'}).args).toEqual(['-m', 'trainer']);
});

it('starts several on one machine without asking for its name', () => {
  expect(trainerCommand('/a/python', {count: 4, hosts: 1, address: 'node-a:29400'}).args).toEqual(['-m', 'trainer.launch', '--standalone', '--local-addr=127.0.0.1', '--nproc-per-node=4']);
});

it('starts the first of several hosts, and says what the others start: the same under their own number', () => {
  const processes = {count: 1, hosts: 2, address: 'node-a:29400'};
  const options = (rank: number) => ['-m', 'trainer.launch', '--nnodes=2', `--node-rank=${rank}`, '--master-addr=node-a', '--master-port=29400', '--nproc-per-node=1'];
  expect(trainerCommand('/a/python', processes).args).toEqual(options(0));
  expect(joinCommand('/a/python', processes, 1)).toBe(`cd ${packageFolder} && /a/python ${options(1).join(' ')}`);
});
