/** Draws an experiment as SVG: a row a model, a dot a run, its mean and the 95 % interval of that. */
import {scaleLinear} from 'd3-scale';
import {percent} from '../words.js';
import {rowsOf, type ExperimentResults, type Row} from './experiment-results.js';
import {nameOf} from './experiment-table.js';
import {html, verbatim, type Markup} from './markup.js';

/** In units of the view box. */
const WIDTH = 720;
const ROW = 22;
const MARGIN = {top: 26, right: 64, bottom: 14, left: 216};
const RIGHT = WIDTH - MARGIN.right;

type Colour = 'ink' | 'muted' | 'line' | 'accent';
const light: Readonly<Record<Colour, string>> = {ink: '#20262b', muted: '#626d75', line: '#e4e0d8', accent: '#0a6f66'};
const dark: Readonly<Record<Colour, string>> = {ink: '#e7e5e0', muted: '#9aa4ab', line: '#2e343a', accent: '#5fc7b8'};

const font =
  ".arms { font: 12.5px Inter, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Arial, sans-serif; }";
const styleIn = (colour: (name: Colour) => string): string => `
.arms text { fill: ${colour('muted')}; }
.arms .student text { fill: ${colour('ink')}; font-weight: 600; }
.arms .grid { stroke: ${colour('line')}; }
.arms .rival { stroke: ${colour('muted')}; stroke-dasharray: 2 3; }
.arms .interval { stroke: ${colour('muted')}; stroke-width: 2; }
.arms .student .interval { stroke: ${colour('accent')}; }
.arms .run { fill: ${colour('muted')}; fill-opacity: .45; }
.arms .student .run { fill: ${colour('accent')}; }
.arms .mean { stroke: ${colour('ink')}; stroke-width: 2.5; }
`;
/** In a page, in its colours. */
export const armsStyle = font + styleIn(name => `var(--${name})`);
/** In a file of its own: not every program that shows SVG knows variables. */
const styleOfFile = `${font}${styleIn(name => light[name])}@media (prefers-color-scheme: dark) {${styleIn(name => dark[name])}}`;

/** Null where no run has a figure. */
export function armsPlot(results: ExperimentResults): Markup | null {
  const rows = rowsOf(results);
  const ends = rows.flatMap(({values, top1}) => [
    ...values.map(value => value.top1),
    ...(top1.interval ? [top1.interval.low, top1.interval.high] : []),
  ]);
  if (ends.length === 0) return null;
  const [lowest, highest] = [Math.max(0, Math.min(...ends)), Math.min(1, Math.max(...ends))];
  const x = scaleLinear(lowest === highest ? [lowest - 0.01, lowest + 0.01] : [lowest, highest], [
    MARGIN.left + 8,
    RIGHT,
  ]).nice(6);
  const bottom = MARGIN.top + rows.length * ROW;
  const at = (value: number) => pixel(Math.min(RIGHT + 8, Math.max(MARGIN.left, x(value))));
  const rivals = rows.filter(({arm}) => arm === null);
  return html`<svg class="arms" viewBox="0 0 ${WIDTH} ${bottom + MARGIN.bottom}" role="img" aria-label="${results.experiment}: top-1 of each model, by run">
${x.ticks(6).map(tick => html`<path class="grid" d="M${at(tick)},${MARGIN.top - 6}V${bottom}"/><text x="${at(tick)}" y="${MARGIN.top - 12}" text-anchor="middle">${Number((100 * tick).toFixed(1))} %</text>`)}
${rivals.map(({top1}) => html`<path class="rival" d="M${at(top1.mean)},${MARGIN.top - 6}V${bottom}"/>`)}
${rows.map((row, index) => drawn(row, MARGIN.top + (index + 0.5) * ROW, at))}
</svg>`;
}

function drawn(row: Row, y: number, at: (value: number) => number): Markup {
  const {top1, values, model} = row;
  return html`<g${model === 'student' ? verbatim(' class="student"') : null}><text x="${MARGIN.left - 8}" y="${pixel(y + 4)}" text-anchor="end">${nameOf(row)}</text>
${top1.interval ? html`<path class="interval" d="M${at(top1.interval.low)},${pixel(y)}H${at(top1.interval.high)}"/>` : null}
${values.map(value => html`<circle class="run" cx="${at(value.top1)}" cy="${pixel(y)}" r="3"><title>seed ${value.seed}: ${percent(value.top1)}</title></circle>`)}
<path class="mean" d="M${at(top1.mean)},${pixel(y - 6)}v12"/><text x="${RIGHT + 14}" y="${pixel(y + 4)}">${percent(top1.mean)}</text></g>`;
}

/** The plot as a file of its own, which brings its style. */
export function plotFile(results: ExperimentResults): string | null {
  const plot = armsPlot(results);
  if (plot === null) return null;
  return `${plot.toString().replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ').replace('>', `><style>${styleOfFile}</style>`)}\n`;
}

const pixel = (value: number): number => Math.round(10 * value) / 10;
