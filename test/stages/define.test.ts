import {expect, it} from 'vitest';
import {configSchema} from '../../src/config/schema.js';
import {runPaths} from '../../src/home.js';
import {contextFor, type RunContext} from '../../src/stages/context.js';
import {defineStage, implied, keyed, told} from '../../src/stages/define.js';
import {stages} from '../../src/stages/index.js';
import {blankStore} from '../../src/store/open.js';
import {temporaryFolder} from '../images/temporary-folder.js';
import {put} from '../images/pictures.js';

/** A run of two labelled pictures and one that is not. */
async function aRun(teacher: object = {}): Promise<RunContext> {
  const folder = await temporaryFolder();
  for (const place of ['labelled/cat/1.jpg', 'labelled/dog/1.jpg', 'pool/1.jpg']) await put(`${folder}/${place}`, '.');
  const config = configSchema.parse({labelled: `${folder}/labelled`, unlabelled: `${folder}/pool`, teacher});
  const never = new AbortController().signal;
  return await contextFor(config, {
    paths: runPaths(folder, 'run'),
    store: blankStore(),
    stop: {requested: never, forced: never},
    emit: () => {},
    executor: null,
  });
}

it('a stage is handed what it declared and what it works with, and nothing else of the config', async () => {
  const seen: object[] = [];
  const stage = defineStage({
    name: 'report',
    version: 1,
    reads: ['select.ranking'],
    settings: ({config}) => ({
      seed: keyed('seed', config.seed),
      topK: told({k: config.select.top_k}, {'select.top_k': String(config.select.top_k)}),
      about: implied(config.about),
    }),
    run(context, settings, ingredients) {
      seen.push(context, settings, ingredients);
      // @ts-expect-error: a setting that is not declared
      expect(settings.epochs).toBeUndefined();
      // @ts-expect-error: the config itself
      expect(context.config).toBeUndefined();
      // A product that it does not say it reads is none of these, to the compiler either.
      const product: string = ingredients['select.ranking'];
      expect(product).toBe('a digest');
      return Promise.resolve({outputs: [], summary: {}, headline: ''});
    },
  });
  const run = await aRun();
  expect(await stage.ingredients(run, () => null)).toEqual({seed: '0', 'select.top_k': 'auto'});
  await stage.run(run, {'select.ranking': 'a digest'});
  const [context, settings] = seen;
  expect(Object.keys(context!)).not.toEqual(expect.arrayContaining(['config']));
  expect(settings).toEqual({seed: 0, topK: {k: 'auto'}, about: undefined});
});

it('the settings of every stage keep the names under which people have them recorded', async () => {
  const run = await aRun();
  const names: Record<string, string> = {};
  for (const stage of stages) names[stage.name] = Object.keys(await stage.ingredients(run, () => null)).join(', ');
  expect(names).toMatchInlineSnapshot(`
    {
      "baseline": "evaluate.baseline",
      "evaluate": "evaluate.flip",
      "export": "score.precision, score.decode, classes kept, teacher.temperature, image.size",
      "finetune": "model, stem, evaluations, batch_size, learning_rate, warmup, schedule, momentum, weight_decay, label_smoothing, precision, ema, flip, crop, pad, min_area, policy, strength, cutout, mix, mix_alpha, seed, image.size, epochs, classes kept, student.temperature",
      "prepare": "labelled, files of labelled, unlabelled[0], files of unlabelled[0], seed, labelled.per_class, validation.share, validation.per_class, rest, image.size, limits",
      "pretrain": "model, stem, evaluations, batch_size, learning_rate, warmup, schedule, momentum, weight_decay, label_smoothing, precision, ema, flip, crop, pad, min_area, policy, strength, cutout, mix, mix_alpha, seed, image.size, epochs, targets, temperature, rest, balanced, labelled_share",
      "report": "run",
      "score": "score.shard_size, image.size, limits, score.decode, classes kept, provider, onnxruntime, sharp",
      "select": "select.top_p, select.top_k, select.min_score, image.size",
      "teacher": "model, stem, evaluations, batch_size, learning_rate, warmup, schedule, momentum, weight_decay, label_smoothing, precision, ema, flip, crop, pad, min_area, policy, strength, cutout, mix, mix_alpha, seed, image.size, epochs",
    }
  `);
});
