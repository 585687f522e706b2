/** Lists the settings that each training step of a run went by, as its report shows them. */
import {type Config} from '../config/schema.js';
import {plainLabels, pseudoLabels, trainingSettings} from '../config/rules.js';
import type {SettingsRow, UsedSettings} from '../report/report-data.js';
import type {TrainingStep} from './train.js';

/** A training that took place: under whose keys, and what it found out for itself. */
export interface TrainedStep {
  readonly title: string;
  readonly step: TrainingStep;
  /** Whether it learned from the teacher's labels. */
  readonly pseudo: boolean;
  readonly epochs: number;
  readonly steps: number;
  /** Null where the trainer found it and did not tell. */
  readonly batchSize: number | null;
}

const OFF: ReadonlySet<string | null> = new Set([null, '0', 'none', 'false']);

/** The settings of `trained` steps for pictures of `size` pixels, under the names of the config keys. */
export function usedSettings(config: Config, size: number, trained: readonly TrainedStep[]): UsedSettings {
  const settings = trained.map(step => settingsOf(config, size, step));
  const keys = [...new Set(settings.flatMap(Object.keys))];
  const rows = keys.map((key): SettingsRow => ({key, values: settings.map(values => shown(values[key]))}));
  const used = rows.filter(({values}) => !values.every(value => OFF.has(value)));
  const isOne = ({values}: SettingsRow) => values.every(value => value !== null && value === values[0]);
  return {
    steps: trained.map(({title}) => title),
    different: used.filter(row => !isOne(row)),
    alike: used.filter(isOne).map(({key, values}) => ({key, value: values[0] ?? ''})),
    off: rows.filter(row => !used.includes(row) && row.values.some(value => value !== null)).map(({key}) => key),
  };
}

type Value = string | number | boolean | null | undefined;

const shown = (value: Value): string | null =>
  value === null || value === undefined
    ? null
    : typeof value === 'number'
      ? String(Number(value.toPrecision(6)))
      : String(value);

function settingsOf(
  config: Config,
  size: number,
  {step, pseudo, epochs, steps, batchSize}: TrainedStep,
): Readonly<Record<string, Value>> {
  const {augment, ...settings} = trainingSettings(config, step, size);
  const {targets, temperature, rest, balanced, labelledShare} = pseudo ? pseudoLabels(config) : plainLabels;
  const soft = targets === 'soft';
  return {
    model: settings.model,
    epochs: String(epochs),
    steps: String(steps),
    batch_size: settings.batchSize ?? batchSize ?? 'auto',
    learning_rate: settings.learningRate,
    warmup: settings.warmup,
    schedule: settings.schedule,
    momentum: settings.momentum,
    weight_decay: settings.weightDecay,
    label_smoothing: settings.labelSmoothing,
    precision: settings.precision,
    ema: settings.ema,
    targets: pseudo ? targets : null,
    temperature: soft ? temperature : null,
    rest: soft ? rest : null,
    balanced: pseudo ? balanced : null,
    labelled_share: pseudo ? labelledShare : null,
    flip: augment.flip,
    crop: augment.crop,
    pad: augment.crop === 'shift' ? augment.pad : null,
    min_area: augment.crop === 'resized' ? augment.minArea : null,
    augment: augment.policy,
    strength: augment.policy === 'rand' ? augment.strength : null,
    cutout: augment.cutout,
    mix: augment.mix,
    mix_alpha: augment.mix === 'none' ? null : augment.mixAlpha,
  };
}
