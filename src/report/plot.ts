/** Draws the curves of a training, and how well a model is calibrated, as SVG. */
import {scaleLinear, type ScaleLinear} from 'd3-scale';
import {area, line} from 'd3-shape';
import type {ReliabilityBin} from '../children/protocol.js';
import {bytes, count, percent, rate} from '../words.js';
import {html, verbatim, type Content, type Markup} from './markup.js';
import type {Curve, ReportCalibration, StepReading} from './report-data.js';

type Scale = ScaleLinear<number, number>;
type Evaluation = Curve['evaluations'][number];

/** In units of the view box; the page scales the whole. */
interface Frame {
  readonly kind: 'wide' | 'small' | 'square';
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** A frame of a size with room for labels on its sides. */
const frameOf = (
  kind: Frame['kind'],
  width: number,
  height: number,
  margin: {top: number; right: number; bottom: number; left: number},
): Frame => ({
  kind,
  width,
  height,
  left: margin.left,
  right: width - margin.right,
  top: margin.top,
  bottom: height - margin.bottom,
});
const WIDE = frameOf('wide', 440, 208, {top: 20, right: 18, bottom: 26, left: 46});
const SMALL = frameOf('small', 290, 132, {top: 12, right: 16, bottom: 26, left: 54});
const SQUARE = frameOf('square', 224, 214, {top: 8, right: 10, bottom: 26, left: 46});

/** Readings drawn of a training; more are averaged down to so many. */
const POINTS = 120;
/** With more evaluations than this, the dots of a curve would be a band. */
const DOTTED_UP_TO = 50;
/** A smaller range of accuracy would show chance as mountains. */
const SMALLEST_RANGE = 0.05;

// ---------------------------------------------------------------- curves of a training

/**
 * Validation top-1 and top-5 by epoch, the epoch that was kept marked. With five classes or fewer top-5 says nothing,
 * and is left out.
 */
export function accuracyPlot({title, evaluations, bestEpoch}: Curve, classes: number): Markup {
  const shown = classes > 5 ? (['top5', 'top1'] as const) : (['top1'] as const);
  const values = evaluations.flatMap(evaluation => shown.map(key => evaluation[key]));
  const highest = Math.max(...values);
  const x = axis(
    evaluations.map(({epoch}) => epoch),
    [WIDE.left, WIDE.right],
  );
  const y = scaleLinear(
    [Math.min(...values, Math.max(0, highest - SMALLEST_RANGE)), highest],
    [WIDE.bottom, WIDE.top],
  ).nice(4);
  const curve = (key: 'top1' | 'top5') =>
    html`<path class="${key}" d="${
      line<Evaluation>(
        ({epoch}) => x(epoch),
        evaluation => y(evaluation[key]),
      ).digits(1)(evaluations) ?? ''
    }"/>`;
  const dot = ({epoch, top1}: Evaluation) =>
    html`<circle class="dot" cx="${pixel(x(epoch))}" cy="${pixel(y(top1))}" r="2"/>`;
  const best = evaluations.find(({epoch}) => epoch === bestEpoch);
  return drawn(WIDE, `${title}: validation accuracy by epoch`, [
    yAxis(WIDE, y, value => `${Number((100 * value).toFixed(1))} %`),
    xAxis(WIDE, x, 'epoch'),
    shown.map(curve),
    evaluations.length > DOTTED_UP_TO ? [] : evaluations.map(dot),
    best ? bestMark(x(best.epoch), y(best.top1), percent(best.top1)) : null,
  ]);
}

/** The label stands over the mark, turned inwards near an edge. */
function bestMark(x: number, y: number, label: string): Markup {
  const anchor = x > WIDE.right - 30 ? 'end' : x < WIDE.left + 30 ? 'start' : 'middle';
  return html`<circle class="best" cx="${pixel(x)}" cy="${pixel(y)}" r="4.5"/>
<text class="best-label" x="${pixel(x)}" y="${pixel(y - 9)}" text-anchor="${anchor}">${label}</text>`;
}

/** Training loss by step with its spread, and the validation loss at the ends of epochs. */
export function lossPlot({title, steps, evaluations}: Curve): Markup {
  const readings = thin(steps, ({loss}) => loss);
  const total = totalSteps(steps);
  // The last epoch is always evaluated, so its number is that of all epochs.
  const stepsPerEpoch = total / Math.max(1, evaluations.at(-1)?.epoch ?? 1);
  const all = [...readings.flatMap(({low, high}) => [low, high]), ...evaluations.map(({loss}) => loss)];
  const x = axis([total], [WIDE.left, WIDE.right]);
  const y = scaleLinear([Math.min(...all), Math.max(...all)], [WIDE.bottom, WIDE.top]).nice(4);
  const at = ({step}: Reading) => x(step);
  const spread = area<Reading>(
    at,
    ({low}) => y(low),
    ({high}) => y(high),
  ).digits(1)(readings);
  const loss = line<Reading>(at, ({value}) => y(value)).digits(1)(readings);
  const validation = line<Evaluation>(
    ({epoch}) => x(epoch * stepsPerEpoch),
    evaluation => y(evaluation.loss),
  ).digits(1)(evaluations);
  return drawn(WIDE, `${title}: training and validation loss by step`, [
    yAxis(WIDE, y, y.tickFormat(4)),
    xAxis(WIDE, x, 'step'),
    html`<path class="spread" d="${spread ?? ''}"/>
<path class="loss" d="${loss ?? ''}"/>
<path class="validation" d="${validation ?? ''}"/>`,
  ]);
}

/** How large a training's steps were, how fast they went and how much memory they took. */
export const smallPlots = {
  rate: ({title, steps}: Curve) =>
    smallPlot(
      `${title}: learning rate by step`,
      'lr',
      steps,
      ({lr}) => lr,
      value => String(Number(value.toPrecision(3))),
    ),
  speed: ({title, steps}: Curve) =>
    smallPlot(`${title}: images a second by step`, 'speed', steps, ({imagesPerSecond}) => imagesPerSecond, rate),
  memory: ({title, steps}: Curve) =>
    smallPlot(`${title}: memory by step`, 'memory', steps, ({memoryBytes}) => memoryBytes, bytes),
};

function smallPlot(
  title: string,
  kind: string,
  steps: readonly StepReading[],
  of: (reading: StepReading) => number,
  format: (value: number) => string,
): Markup {
  const readings = thin(steps, of);
  const x = axis([totalSteps(steps)], [SMALL.left, SMALL.right]);
  const y = scaleLinear([0, Math.max(...readings.map(({value}) => value))], [SMALL.bottom, SMALL.top]).nice(3);
  const curve = line<Reading>(
    ({step}) => x(step),
    ({value}) => y(value),
  ).digits(1)(readings);
  return drawn(SMALL, title, [
    yAxis(SMALL, y, format, 3),
    xAxis(SMALL, x, 'step', 3),
    html`<path class="${kind}" d="${curve ?? ''}"/>`,
  ]);
}

const totalSteps = (steps: Curve['steps']): number => Math.max(1, steps.at(-1)?.totalSteps ?? 1);

/** From 0 to the largest value. */
const axis = (values: readonly number[], range: [number, number]): Scale =>
  scaleLinear([0, Math.max(1, ...values)], range);

/** Neighbouring readings as one: the mean of their steps and values, and the extremes that the mean hides. */
interface Reading {
  readonly step: number;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** At most POINTS readings, each the average of as many neighbours. */
function thin(steps: readonly StepReading[], of: (reading: StepReading) => number): Reading[] {
  const size = Math.max(1, Math.ceil(steps.length / POINTS));
  return Array.from({length: Math.ceil(steps.length / size)}, (_, position) => {
    const part = steps.slice(position * size, (position + 1) * size);
    const values = part.map(of);
    return {
      step: mean(part.map(({step}) => step)),
      value: mean(values),
      low: Math.min(...values),
      high: Math.max(...values),
    };
  });
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

// ---------------------------------------------------------------- calibration

/**
 * A reliability diagram: what answers of a probability claim, and how many of them are right. Larger dots stand for
 * more images.
 */
export function reliabilityPlot(model: string, {bins, temperature}: ReportCalibration): Markup {
  const x = scaleLinear([0, 1], [SQUARE.left, SQUARE.right]);
  const y = scaleLinear([0, 1], [SQUARE.bottom, SQUARE.top]);
  const format = (value: number) => `${Math.round(100 * value)} %`;
  return drawn(SQUARE, `${model}: share of right answers by probability`, [
    yAxis(SQUARE, y, format, 2),
    xAxis(SQUARE, x, '', 2, format),
    html`<path class="ideal" d="M${SQUARE.left},${SQUARE.bottom}L${SQUARE.right},${SQUARE.top}"/>`,
    temperature === 1 ? null : reliability('before', bins.before, x, y),
    reliability('after', bins.after, x, y),
  ]);
}

function reliability(kind: 'before' | 'after', bins: readonly ReliabilityBin[], x: Scale, y: Scale): Markup {
  const filled = bins.filter(({images}) => images > 0);
  const most = Math.max(...filled.map(({images}) => images));
  const dots = filled.map(
    ({images, probability, accuracy}) =>
      html`<circle cx="${pixel(x(probability))}" cy="${pixel(y(accuracy))}" r="${pixel(1.5 + 4 * Math.sqrt(images / most))}"/>`,
  );
  const curve = line<ReliabilityBin>(
    ({probability}) => x(probability),
    ({accuracy}) => y(accuracy),
  ).digits(1)(filled);
  return html`<g class="${kind}"><path d="${curve ?? ''}"/>${dots}</g>`;
}

// ---------------------------------------------------------------- what all have in common

/** A small picture of a line's style, for the legend in the caption. */
export const swatch = (kind: 'top1' | 'top5' | 'best' | 'loss' | 'validation' | 'before' | 'after'): Markup =>
  html`<svg class="swatch" viewBox="0 0 22 10" aria-hidden="true">${
    kind === 'best'
      ? verbatim('<circle class="best" cx="11" cy="5" r="4"/>')
      : kind === 'before' || kind === 'after'
        ? html`<g class="${kind}"><circle cx="11" cy="5" r="4"/></g>`
        : html`<path class="${kind}" d="M1,5H21"/>`
  }</svg>`;

const drawn = ({kind, width, height}: Frame, title: string, content: Content): Markup =>
  html`<svg class="plot ${kind}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">${content}</svg>`;

const yAxis = ({left, right}: Frame, y: Scale, format: (value: number) => string, ticks = 4): Markup[] =>
  y.ticks(ticks).map(
    value => html`<path class="grid" d="M${left},${pixel(y(value))}H${right}"/>
<text x="${left - 8}" y="${pixel(y(value) + 4)}" text-anchor="end">${format(value)}</text>`,
  );

/** Steps and epochs are whole numbers, and so are their ticks; `format` is for what is none. */
const xAxis = (
  {left, right, bottom}: Frame,
  x: Scale,
  label: string,
  ticks = 4,
  format?: (value: number) => string,
): Markup =>
  html`<path class="axis" d="M${left},${bottom}H${right}"/>${x
    .ticks(ticks)
    .filter(value => format !== undefined || Number.isInteger(value))
    .map(
      value => html`<path class="axis" d="M${pixel(x(value))},${bottom}v4"/>
<text x="${pixel(x(value))}" y="${bottom + 19}" text-anchor="${x(value) > right - 8 ? 'end' : 'middle'}">${(format ?? count)(value)}</text>`,
    )}<text x="${left - 8}" y="${bottom + 19}" text-anchor="end">${label}</text>`;

const pixel = (value: number): number => Math.round(10 * value) / 10;
