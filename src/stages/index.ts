/** The steps of the paper, in order. */
import type {Stage} from '../pipeline/stage.js';
import type {RunContext} from './context.js';
import {baseline} from './baseline.js';
import {evaluate} from './evaluate.js';
import {exportTeacher} from './export.js';
import {finetune} from './finetune.js';
import {prepare} from './prepare.js';
import {pretrain} from './pretrain.js';
import {report} from './report.js';
import {score} from './score.js';
import {select} from './select.js';
import {teacher} from './teacher.js';

export const stages: readonly Stage<RunContext>[] = [
  prepare,
  teacher,
  exportTeacher,
  score,
  select,
  pretrain,
  finetune,
  baseline,
  evaluate,
  report,
];
