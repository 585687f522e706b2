/** Draws the curves of a training as SVG. */
import {scaleLinear, type ScaleLinear} from 'd3-scale';
import {area, line} from 'd3-shape';
import {count, percent} from '../words.js';
import {html, verbatim, type Content, type Markup} from './markup.js';
import type {Curve} from './report-data.js';

type Scale = ScaleLinear<number, number>;
type Evaluation = Curve['evaluations'][number];

/** In units of the view box; the page scales the whole. */
const WIDTH = 440;
const HEIGHT = 208;
const MARGIN = {top: 20, right: 46, bottom: 26, left: 46};
const LEFT = MARGIN.left;
const RIGHT = WIDTH - MARGIN.right;
const BOTTOM = HEIGHT - MARGIN.bottom;

/** Readings drawn of a training; more are averaged down to so many. */
const POINTS = 120;
/** With more evaluations than this, the dots of a curve would be a band. */
const DOTTED_UP_TO = 50;
/** A smaller range of top-1 would show chance as mountains. */
const SMALLEST_RANGE = 0.05;

/** Validation top-1 by epoch, the epoch that was kept marked. */
export function accuracyPlot({title, evaluations, bestEpoch}: Curve): Markup {
  const points = inOrder(evaluations, evaluation => evaluation.epoch);
  const x = scaleLinear([0, Math.max(1, ...points.map(({epoch}) => epoch))], [LEFT, RIGHT]);
  const highest = Math.max(...points.map(({top1}) => top1));
  const lowest = Math.min(...points.map(({top1}) => top1), Math.max(0, highest - SMALLEST_RANGE));
  const y = scaleLinear([lowest, highest], [BOTTOM, MARGIN.top]).nice(4);
  const curve = line<Evaluation>(({epoch}) => x(epoch), ({top1}) => y(top1)).digits(1)(points);
  const best = points.find(({epoch}) => epoch === bestEpoch);
  const dot = ({epoch, top1}: Evaluation) => html`<circle class="dot" cx="${pixel(x(epoch))}" cy="${pixel(y(top1))}" r="2"/>`;
  return frame(`${title}: validation top-1 by epoch`, [
    yAxis(y, value => `${Number((100 * value).toFixed(1))} %`),
    xAxis(x, 'epoch'),
    html`<path class="top1" d="${curve ?? ''}"/>`,
    points.length > DOTTED_UP_TO ? [] : points.map(dot),
    best ? bestMark(x(best.epoch), y(best.top1), percent(best.top1)) : null,
  ]);
}

/** The label stands over the mark, turned inwards near an edge. */
function bestMark(x: number, y: number, label: string): Markup {
  const anchor = x > RIGHT - 30 ? 'end' : x < LEFT + 30 ? 'start' : 'middle';
  return html`<circle class="best" cx="${pixel(x)}" cy="${pixel(y)}" r="4.5"/>
<text class="best-label" x="${pixel(x)}" y="${pixel(y - 9)}" text-anchor="${anchor}">${label}</text>`;
}

/** Training loss by step (left axis) over the learning rate (faint, right axis). */
export function lossPlot({title, steps}: Curve): Markup {
  const readings = thin(inOrder(steps, reading => reading.step));
  const x = scaleLinear([0, Math.max(1, ...readings.map(({step}) => step))], [LEFT, RIGHT]);
  const y = scaleLinear([Math.min(...readings.map(({low}) => low)), Math.max(...readings.map(({high}) => high))], [BOTTOM, MARGIN.top]).nice(4);
  const peak = Math.max(...readings.map(({lr}) => lr));
  const rate = scaleLinear([0, peak], [BOTTOM, MARGIN.top]);
  const at = ({step}: Reading) => x(step);
  const spread = area<Reading>(at, ({low}) => y(low), ({high}) => y(high)).digits(1)(readings);
  const loss = line<Reading>(at, ({loss}) => y(loss)).digits(1)(readings);
  const schedule = line<Reading>(at, ({lr}) => rate(lr)).digits(1)(readings);
  return frame(`${title}: training loss and learning rate by step`, [
    yAxis(y, y.tickFormat(4)),
    xAxis(x, 'step'),
    html`<path class="lr" d="${schedule ?? ''}"/>
<text class="lr-label" x="${RIGHT + 7}" y="${MARGIN.top + 4}">${Number(peak.toPrecision(2))}</text>
<text class="lr-label" x="${RIGHT + 7}" y="${BOTTOM + 4}">0</text>
<path class="spread" d="${spread ?? ''}"/>
<path class="loss" d="${loss ?? ''}"/>`,
  ]);
}

/** A small picture of a line's style, for the legend in the caption. */
export const swatch = (kind: 'top1' | 'best' | 'loss' | 'lr'): Markup => html`<svg class="swatch" viewBox="0 0 22 10" aria-hidden="true">${
  kind === 'best' ? verbatim('<circle class="best" cx="11" cy="5" r="4"/>') : html`<path class="${kind}" d="M1,5H21"/>`
}</svg>`;

const frame = (title: string, content: Content): Markup =>
  html`<svg class="plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">${content}</svg>`;

const yAxis = (y: Scale, format: (value: number) => string): Markup[] =>
  y.ticks(4).map(
    value => html`<path class="grid" d="M${LEFT},${pixel(y(value))}H${RIGHT}"/>
<text x="${LEFT - 8}" y="${pixel(y(value) + 4)}" text-anchor="end">${format(value)}</text>`,
  );

const xAxis = (x: Scale, label: string): Markup => html`<path class="axis" d="M${LEFT},${BOTTOM}H${RIGHT}"/>${x
  .ticks(4)
  .filter(Number.isInteger)
  .map(
    value => html`<path class="axis" d="M${pixel(x(value))},${BOTTOM}v4"/>
<text x="${pixel(x(value))}" y="${BOTTOM + 19}" text-anchor="middle">${count(value)}</text>`,
  )}<text x="${LEFT - 8}" y="${BOTTOM + 19}" text-anchor="end">${label}</text>`;

const pixel = (value: number): number => Math.round(10 * value) / 10;

/** A resumed training repeats what came after its last checkpoint: the later reading stands. */
function inOrder<Item>(readings: readonly Item[], at: (reading: Item) => number): Item[] {
  const kept: Item[] = [];
  for (const reading of readings) {
    while (kept.length > 0 && at(kept.at(-1)!) >= at(reading)) kept.pop();
    kept.push(reading);
  }
  return kept;
}

/** Neighbouring readings as one: their means, and the lowest and highest loss that the mean hides. */
interface Reading {
  readonly step: number;
  readonly loss: number;
  readonly lr: number;
  readonly low: number;
  readonly high: number;
}

function thin(steps: Curve['steps']): Reading[] {
  const size = Math.ceil(steps.length / POINTS);
  return Array.from({length: size === 0 ? 0 : Math.ceil(steps.length / size)}, (_, position) => {
    const part = steps.slice(position * size, (position + 1) * size);
    const mean = (value: (reading: Curve['steps'][number]) => number) => part.reduce((sum, reading) => sum + value(reading), 0) / part.length;
    const losses = part.map(({loss}) => loss);
    return {step: mean(({step}) => step), loss: mean(({loss}) => loss), lr: mean(({lr}) => lr), low: Math.min(...losses), high: Math.max(...losses)};
  });
}
