/** `pupil predict`: the student's answer for pictures of one's own, through the same decoder as in training. */
import path from 'node:path';
import {statSync} from 'node:fs';
import {rm} from 'node:fs/promises';
import type {Stop} from '../children/child.js';
import {openExecutor} from '../children/executor.js';
import {runPastCulprits} from '../children/past-culprits.js';
import {isCifar, PROTOCOL, type PredictItem} from '../children/protocol.js';
import {type Config} from '../config/schema.js';
import {imageSizes} from '../config/rules.js';
import {UserError} from '../errors.js';
import type {RunPaths} from '../home.js';
import {toPrintable} from '../images/printable-path.js';
import {damageOf} from '../pipeline/damage.js';
import {printable, printableJson} from '../printable.js';
import {table} from '../report/table.js';
import {decodingOf, threadsOf} from '../stages/context.js';
import {finetune} from '../stages/finetune.js';
import {temporaryFolder} from '../files/temporary.js';
import {percent} from '../words.js';
import {damagedError, openRun, type RunName} from '../queries/open-run.js';

export interface PredictFlags extends RunName {
  readonly images: readonly string[];
  readonly top: number;
  readonly json: boolean;
}

export async function predict(flags: PredictFlags, stop: Stop): Promise<void> {
  const {paths, config, classes, cifar} = await intactStudent(flags);
  const model = paths.model('student', 'model.onnx');
  const folder = flags.images.find(image => statSync(image, {throwIfNoEntry: false})?.isDirectory());
  if (folder !== undefined)
    throw new UserError(
      'BAD_ARGUMENTS',
      `${folder} is a folder. Give picture files, such as ${path.join(folder, '*.jpg')}.`,
    );

  let [answered, failed] = [0, 0];
  const items = flags.images.map((image): PredictItem => ({
    image,
    file: toPrintable(Buffer.from(path.resolve(image))),
  }));
  const [threads, decoding] = [threadsOf(config), decodingOf({config, ...imageSizes(config, cifar)})];
  const worker = {name: 'worker', threads, device: 'cpu', python: null} as const;
  const executor = openExecutor();
  // Not the run's own: two that predict at once would read each other's task, and a home may be read-only.
  const attempt = temporaryFolder('predict');
  try {
    await runPastCulprits({
      attempt,
      run: precautions =>
        executor.run<'predict'>(
          worker,
          {
            protocol: PROTOCOL,
            task: 'predict',
            model,
            device: 'cpu',
            decoding,
            precautions,
            threads,
            top: Math.min(flags.top, classes),
          },
          {
            attempt,
            stop,
            lines: items.slice(answered),
            onEvent(event) {
              if (event.type !== 'predicted') return;
              const {image, classes, error} = event;
              answered++;
              if (error !== null) failed++;
              if (flags.json)
                process.stdout.write(`${printableJson(error === null ? {image, classes} : {image, error})}\n`);
              else if (error !== null)
                process.stdout.write(
                  `${toPrintable(Buffer.from(image))}\n  ${error.code}: ${printable(error.detail)}\n`,
                );
              else
                process.stdout.write(
                  `${toPrintable(Buffer.from(image))}\n${indent(
                    table(
                      ['', ''],
                      classes.map(row => [percent(row.probability), row.class]),
                      {align: ['right']},
                    ),
                  )}\n`,
                );
            },
          },
        ),
      decode: (pictures, precautions) =>
        executor.run<'decode'>(
          worker,
          {protocol: PROTOCOL, task: 'decode', decoding, precautions},
          {attempt, stop, lines: pictures, onEvent: () => {}},
        ),
      pictureOf: file => ({id: null, file, offset: null, length: null, encoding: 'encoded'}),
      // Each is answered with its problem.
      onCulprit: () => {},
    });
  } finally {
    await executor.close();
    await rm(attempt, {recursive: true, force: true});
  }
  if (failed === flags.images.length)
    throw new UserError(
      'UNREADABLE_PICTURES',
      failed === 1 ? 'The picture could not be read.' : `None of the ${failed} pictures could be read.`,
    );
}

/**
 * What is needed of the run. Throws (exit 3) where it has no student yet, and (exit 4) where that is not the one which
 * fine-tuning left.
 */
async function intactStudent(
  flags: PredictFlags,
): Promise<{paths: RunPaths; config: Config; classes: number; cifar: boolean}> {
  const {store, paths, config} = openRun(flags);
  try {
    const recorded = store.stages.read('finetune');
    if (recorded?.status !== 'done')
      throw new UserError(
        'NO_RESULT_YET',
        `Run ${paths.run} has no student yet: its finetune stage has not finished. Finish it with pupil orchestrate.`,
      );
    const [damage] = await damageOf(finetune, recorded, {store, home: paths.home});
    if (damage) throw damagedError(paths.run, damage);
    const cifar = store.images.sources().some(source => source.role === 'labelled' && isCifar(source.spec.kind));
    return {paths, config, classes: store.images.classes().length, cifar};
  } finally {
    store.close();
  }
}

/** Drops the empty header and sets the rows in. */
const indent = (text: string): string =>
  text
    .split('\n')
    .slice(1)
    .map(line => `  ${line}`)
    .join('\n');
