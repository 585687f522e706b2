/** The configuration of a run: its schema and its only defaults. What `auto` comes to is in rules.ts. */
import {z} from 'zod';
import {inputLayouts, modelNames, outputKinds} from '../children/protocol.js';

/** Keys read exactly as people write them, so they are snake_case here too. */
const positive = z.int().positive();
/** Of a square picture in pixels: a larger one is a slip, and would be found out only picture by picture. */
const side = z.int().positive().max(4096);
/** Of what each takes a thread, a process or a network: more is a slip. */
const workers = positive.max(1024);
/** Of a file, a folder or another source: nothing at all would be the current folder. */
const path = z.string().regex(/\S/, 'a path');
const share = z.number().min(0).max(1);
const rate = z.number().positive();
const auto = z.literal('auto');
const deviation = z.number().positive().max(1);
/** A run names files and folders. */
const runName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'letters, digits, dots, dashes and underscores, a letter or digit first');
const deviceName = z.string().regex(/^(auto|cpu|cuda(:\d+)?)$/, 'auto, cpu, cuda or cuda:N');
const model = z.enum(modelNames);

/**
 * What every training step shares. `train` sets it for all of them; a step that carries a key itself goes by its own.
 */
const training = {
  batch_size: z
    .union([z.int().min(2), auto])
    .describe(
      'Pictures a step; auto: the largest power of two that fits the GPU (128 or 32 on a CPU). Learning rates are then meant for a batch of 256, and are scaled to the size found',
    ),
  momentum: share.describe('Of SGD with Nesterov momentum'),
  weight_decay: z.union([z.number().nonnegative(), auto]).describe('Not on norms and biases'),
  label_smoothing: share.describe('Share of a hard target that is spread over all classes (arXiv 1512.00567)'),
  warmup: z.union([share, auto]).describe('Share of all steps over which the learning rate rises'),
  schedule: z
    .union([z.enum(['cosine', 'linear']), auto])
    .describe('How the learning rate falls to 0 after the warm-up; auto: linear for cifarnet, else cosine'),
  precision: z.enum(['auto', 'fp32', 'bf16']).describe('auto: bf16 where the device multiplies it natively'),
  evaluations: positive.describe(
    'How many times in a training validation is measured: evenly spread, at most once an epoch',
  ),
  flip: z.boolean().describe('Mirror every other picture'),
  crop: z
    .union([z.enum(['none', 'shift', 'resized']), auto])
    .describe('auto: shift up to 64 px, RandomResizedCrop above'),
  pad: z
    .union([z.int().nonnegative(), auto])
    .describe('Largest shift in pixels; auto: an eighth of the size, at most 4'),
  min_area: z.number().gt(0).max(1).describe('Smallest share of the picture that RandomResizedCrop keeps'),
  augment: z
    .enum(['none', 'trivial', 'rand'])
    .describe(
      'trivial: one random change a picture (TrivialAugment, arXiv 2103.10158); rand: two of one strength (RandAugment, 1909.13719)',
    ),
  strength: z.number().min(0).max(30).describe("RandAugment's magnitude"),
  cutout: share.describe('Side of the square that is blanked, as a share of the picture; 0: none (arXiv 1708.04552)'),
  mix: z
    .enum(['none', 'mixup', 'cutmix'])
    .describe('Blend two pictures and their labels (arXiv 1710.09412, 1905.04899)'),
  mix_alpha: rate.describe('Both parameters of the Beta distribution that the share of mixing is drawn from'),
  ema: z
    .number()
    .min(0)
    .lt(1)
    .describe('Decay of the moving average of the weights, which is then what is measured and kept; 0: none'),
};
/** Keys of one step alone: how long it trains, how fast, and whatever it wants otherwise than `train`. */
const step = (epochs: number) => ({
  ...z.strictObject(training).partial().shape,
  epochs: positive.default(epochs).describe('How many times all pictures are gone through'),
  learning_rate: z
    .union([rate, auto])
    .default('auto')
    .describe('The highest of the schedule; auto: batch_size / 128 for cifarnet, else 0.1 x batch_size / 256'),
});
const temperature = z
  .union([rate, z.literal('fit')])
  .default(1)
  .describe(
    'Divides the logits before the softmax; fit: the one under which validation is likeliest (arXiv 1706.04599)',
  );

/** An ONNX teacher is scored with as it is; every other file holds weights for one of our networks. */
export const isOnnxFile = (file: string): boolean => file.toLowerCase().endsWith('.onnx');

export const configSchema = z.strictObject({
  run: runName
    .default('run')
    .describe('Name of the run, "run" unless a preset or this names it: db/NAME.sqlite, data/NAME/, models/NAME/'),
  about: z.string().optional().describe('One line on what this configuration is'),
  seed: z.int().nonnegative().default(0).describe('Settles every random draw'),
  rounds: positive
    .max(100)
    .default(1)
    .describe(
      'In round 2 and later the student of the round before is the teacher; they are the runs NAME.round2, NAME.round3, ...',
    ),
  device: deviceName
    .default('auto')
    .describe('auto, cpu, cuda or cuda:N; auto takes a GPU where both children can use one'),

  labelled: z
    .preprocess(
      value => (typeof value === 'string' ? {source: value} : value),
      z.strictObject({
        source: path.describe('Where the labelled pictures come from'),
        per_class: positive
          .nullable()
          .default(null)
          .describe('Draw only so many labelled pictures a class (seeded, stratified); null takes all'),
      }),
    )
    .describe('The labelled set'),
  unlabelled: z
    .preprocess(value => (typeof value === 'string' ? [value] : value), z.array(path).min(1))
    .describe('Sources of unlabelled pictures; `rest` is what labelled.per_class left over, its labels hidden'),
  validation: z
    .preprocess(
      value => (typeof value === 'string' ? {source: value} : value),
      z.strictObject({
        source: path
          .nullable()
          .default(null)
          .describe('A validation set of your own; null splits one off the labelled set'),
        share: share.default(0.1).describe('Share of the labelled set to split off, at least 5 a class'),
        per_class: positive
          .nullable()
          .default(null)
          .describe('Instead of a share: so many a class, drawn beside the labelled ones'),
      }),
    )
    .prefault({})
    .describe('What every choice is made on'),
  test: path.nullable().default(null).describe('Read once, by evaluate; null reports validation accuracies'),

  image: z
    .strictObject({
      size: z
        .union([side, auto])
        .default('auto')
        .describe('Side of the square the network sees; auto: 32 for CIFAR sources, else 224'),
      resize: z
        .union([side, auto])
        .default('auto')
        .describe('Short side after resizing, before the centre crop; auto: size up to 64 px, else size x 8/7'),
    })
    .prefault({}),

  teacher: z
    .strictObject({
      file: path.nullable().default(null).describe('A ready-made teacher: .safetensors, .pt, .pth or .onnx'),
      classes: z
        .union([path, z.array(z.union([z.string(), z.int().transform(String)]))])
        .nullable()
        .default(null)
        .describe("The file's class names in its own order (a list, or a text file with one a line)"),
      mean: z
        .tuple([share, share, share])
        .nullable()
        .default(null)
        .describe(
          "What the file's net subtracts from red, green and blue in 0..1; null: what the file says, else ImageNet's",
        ),
      std: z.tuple([deviation, deviation, deviation]).nullable().default(null).describe('What it divides them by then'),
      input: z
        .enum([auto.value, ...inputLayouts])
        .default('auto')
        .describe('What an ONNX file takes: type and order of its pixels; auto: what its graph tells'),
      output: z
        .enum([auto.value, ...outputKinds])
        .default('auto')
        .describe('What an ONNX file answers; auto: what its graph tells'),
      model: model.default('resnet50').describe('The network'),
      temperature,
      ...step(100),
    })
    .superRefine(({file, classes, mean, std, input, output}, context) => {
      const refuse = (key: string, expected: string) =>
        context.addIssue({code: 'custom', path: [key], message: expected});
      const described = {
        classes,
        mean,
        std,
        input: input === 'auto' ? null : input,
        output: output === 'auto' ? null : output,
      };
      for (const [key, value] of Object.entries(described)) {
        if (value === null) continue;
        if (file === null) refuse(key, 'a teacher.file that it describes');
        else if ((key === 'mean' && std === null) || (key === 'std' && mean === null))
          refuse(key, `teacher.${key === 'mean' ? 'std' : 'mean'} beside it`);
        else if ((key === 'input' || key === 'output') && !isOnnxFile(file))
          refuse(key, `auto, since ${file} is no ONNX file`);
      }
    })
    .prefault({}),
  student: z
    .strictObject({model: z.union([model, auto]).default('auto').describe("auto: the teacher's"), temperature})
    .prefault({}),
  pretrain: z
    .strictObject({
      targets: z
        .enum(['hard', 'soft'])
        .default('soft')
        .describe(
          "soft: the teacher's probabilities of the picture's best classes, 10 or P if that is more; hard: the class it was chosen for, as in the paper",
        ),
      temperature: rate.default(1).describe('Of soft targets: above 1 evens them out'),
      rest: z
        .enum(['spread', 'drop'])
        .default('spread')
        .describe(
          'What soft targets do with the probability outside those classes: spread it over the others, or drop it',
        ),
      balanced: z
        .boolean()
        .default(false)
        .describe(
          'Repeat the pictures of short classes, so that every class is seen as often (as Noisy Student does, arXiv 1911.04252)',
        ),
      labelled_share: z
        .number()
        .min(0)
        .lt(1)
        .default(0.375)
        .describe('Share of each batch that is labelled pictures; the paper: 0'),
      ...step(30),
      epochs: z
        .union([positive, auto])
        .default('auto')
        .describe(
          'How many times all chosen pictures are gone through; auto: 30, and more where they are few, to twice the steps of teacher.epochs',
        ),
    })
    .prefault({}),
  finetune: z
    .strictObject({
      ...step(20),
      learning_rate: z
        .union([rate, auto])
        .default('auto')
        .describe('auto: a tenth of the pre-training rate; the full rate would erase the pre-training'),
    })
    .prefault({}),
  train: z
    .strictObject({
      batch_size: training.batch_size.default(128),
      momentum: training.momentum.default(0.9),
      weight_decay: training.weight_decay.default('auto'),
      label_smoothing: training.label_smoothing.default(0.1),
      warmup: training.warmup.default('auto'),
      schedule: training.schedule.default('auto'),
      precision: training.precision.default('auto'),
      evaluations: training.evaluations.default(20),
      flip: training.flip.default(true),
      crop: training.crop.default('auto'),
      pad: training.pad.default('auto'),
      min_area: training.min_area.default(0.35),
      augment: training.augment.default('none'),
      strength: training.strength.default(9),
      cutout: training.cutout.default(0),
      mix: training.mix.default('none'),
      mix_alpha: training.mix_alpha.default(1),
      ema: training.ema.default(0),
      checkpoint_minutes: rate.default(10).describe('Save in the middle of an epoch after so long'),
      compile: z
        .boolean()
        .default(false)
        .describe('torch.compile, with CUDA graphs on a GPU: a minute or two of start for faster steps'),
      tensorboard: z
        .boolean()
        .default(false)
        .describe('Also log to data/RUN/tensorboard; needs the Python package tensorboard'),
      processes: z
        .union([workers, auto])
        .default(1)
        .describe('Processes of each host that train together, one a GPU; auto: as many as there are GPUs'),
      hosts: workers
        .default(1)
        .describe(
          'Computers that train together; they see the same files under the same paths. What to start on the others is said',
        ),
      address: z
        .union([z.string().regex(/^[^\s:]+:\d+$/, 'HOST:PORT'), auto])
        .default('auto')
        .describe('Where the other hosts reach this one, as HOST:PORT; auto: its name, port 29400'),
    })
    .prefault({}),
  score: z
    .strictObject({
      batch_size: z
        .union([positive, auto])
        .default('auto')
        .describe(
          'Images in the network at once. auto: what a short trial finds fastest on a CPU, 256 on a GPU. No score depends on it',
        ),
      decode_threads: z
        .union([workers, auto])
        .default('auto')
        .describe('Pictures decoded at once; auto: what the trial finds, at most limits.threads'),
      networks: z
        .union([workers, auto])
        .default('auto')
        .describe(
          'Networks that score batches side by side, each with its own memory; auto: what the trial finds on a CPU, else 1',
        ),
      network_threads: z
        .union([workers, auto])
        .default('auto')
        .describe('CPU threads of each network; auto: what the trial finds, at most limits.threads'),
      workers: z
        .union([workers, auto])
        .default('auto')
        .describe('Image workers that score side by side; auto: one a GPU, or one on the CPU'),
      shard_size: positive.default(4096).describe('Pool images in one score file'),
      precision: z
        .enum(['fp32', 'int8', 'fp16', 'auto'])
        .default('fp32')
        .describe(
          'Of the network that scores. int8 is for CPUs, fp16 for GPUs; auto: the one that suits, if it is faster and was measured to choose as fp32 does',
        ),
      decode: z
        .enum(['exact', 'fast'])
        .default('exact')
        .describe(
          'fast: large JPEG and WebP pictures are read at a fraction of their size; what that costs is measured',
        ),
    })
    .prefault({}),
  select: z
    .strictObject({
      top_p: z
        .union([positive, auto])
        .default('auto')
        .describe(
          "P: classes an image is a candidate for; auto: 1 for few classes, 3 for 100, the paper's 10 from 1,000 on",
        ),
      top_k: z
        .union([positive, auto])
        .default('auto')
        .describe(
          'K: images a class keeps; auto: as many as the teacher is expected to be right about, by its calibrated probabilities, and the choosier the larger the pool',
        ),
      min_score: z
        .number()
        .max(0)
        .nullable()
        .default(null)
        .describe('Natural log-probability below which an image is no candidate; null: no limit'),
    })
    .prefault({}),
  evaluate: z
    .strictObject({
      baseline: z
        .boolean()
        .default(false)
        .describe("Also train the student's net on the labels alone for as many steps as the student had"),
      flip: z
        .boolean()
        .default(false)
        .describe(
          'Also measure the mean over a picture and its mirror image: figures beside the headline ones, never in their place',
        ),
    })
    .prefault({}),
  limits: z
    .strictObject({
      max_failures: share
        .default(0.01)
        .describe('Share of pictures that may be set aside before the run stops; 0.01 is 1 %'),
      max_file_mb: positive.default(20).describe('A larger file is set aside'),
      max_megapixels: positive.default(50).describe('A picture of more is set aside'),
      decode_seconds: positive.default(5).describe('A picture whose decoding takes longer is set aside'),
      formats: z
        .array(z.enum(['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif']))
        .min(1)
        .default(['jpeg', 'png', 'webp'])
        .describe('Formats that are opened; of animations the first frame'),
      threads: z
        .union([workers, auto])
        .default('auto')
        .describe('CPU threads for training and for decoding; auto: all cores'),
    })
    .prefault({}),
});

export type Config = z.infer<typeof configSchema>;
/** What every training step shares. */
export type TrainingKeys = z.infer<z.ZodObject<typeof training>>;
