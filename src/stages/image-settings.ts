/** Settings that several stages share: the sizes of pictures, how they are decoded, and how many classes are kept. */
import {isOnnxFile, type Config} from '../config/schema.js';
import {classesKept} from '../config/rules.js';
import type {Earlier} from '../pipeline/stage.js';
import type {RunContext} from './context.js';
import {told, type Setting} from './define.js';
import {summaries} from './summaries.js';

/** Side of the network's input, and of the resized picture before the centre crop; pixels. */
export interface ImageSizes {
  readonly size: number;
  readonly resize: number;
}

export const imageSize = ({size, resize}: ImageSizes): Setting<ImageSizes> =>
  told({size, resize}, {'image.size': `${size} of ${resize}`});

/** How many of the best classes of an image are kept in its scores. */
export function keptClasses({config, store}: RunContext, earlier: Earlier): Setting<number> {
  const prepared = summaries.prepare.safeParse(earlier('prepare')).data;
  const kept = classesKept(config, prepared?.classes ?? store.images.classes().length);
  return told(kept, {'classes kept': String(kept)});
}

/**
 * Whether the teacher came as ONNX: PyTorch never sees its network then, and models/RUN/teacher/ holds no weights of it
 * but in model.onnx.
 */
export const cameAsOnnx = ({teacher: {file}}: Config): boolean => file !== null && isOnnxFile(file);
