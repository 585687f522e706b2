/** An experiment in HTML: its plot and its table, as a section of a run's report and as a page of its own. */
import {count, duration, percent, plural} from '../words.js';
import {rowsOf, type ExperimentResults, type Row} from './experiment-results.js';
import {armsPlot, armsStyle} from './experiment-plot.js';
import {caption, difference, nameOf} from './experiment-table.js';
import {html, verbatim, type Markup} from './markup.js';
import {style} from './style.js';

/** The section `Experiment`. */
export function experimentSection(results: ExperimentResults): Markup {
  const rows = rowsOf(results);
  const {reference, arms, missing} = results;
  const described = arms.filter(({about}) => about !== '');
  return html`<section id="experiment">
<h2>Experiment ${results.experiment}</h2>
${results.about === '' ? null : html`<p>${results.about}</p>`}
<figure>${armsPlot(results)}<figcaption>a dot a run, the mean, and its 95&nbsp;% interval; dotted: the reference’s teacher and baseline</figcaption></figure>
<table>
<thead><tr><th scope="col">Model</th><th scope="col" class="number">Top-1</th><th scope="col" class="number">n</th>
<th scope="col" class="number">To its teacher</th><th scope="col" class="number">To supervised</th><th scope="col" class="number">To ${reference}</th>
<th scope="col" class="number">Steps</th><th scope="col" class="number">Time</th></tr></thead>
<tbody>${rows.map(tableRow)}</tbody>
</table>
<p class="note">${caption(results)} Made by <code>${results.command}</code>.</p>
${described.length === 0 ? null : html`<dl>${described.map(({name, about}) => html`<dt><code>${name}</code></dt><dd>${about}</dd>`)}</dl>`}
${missing.length === 0 ? null : html`<div class="caution"><p>${plural(missing.length, 'run')} of this experiment ${missing.length === 1 ? 'is' : 'are'} missing:</p>${missing.map(({run, reason}) => html`<p>${run}: ${reason}</p>`)}</div>`}
</section>`;
}

function tableRow(row: Row): Markup {
  const {top1, steps, seconds, toTeacher, toSupervised, toReference} = row;
  const compared = [toTeacher, toSupervised, toReference].map(summary => {
    const [mean = '', interval = ''] = difference(summary).split(' (');
    return html`<td class="number">${mean}${interval === '' ? null : html`<small>${interval.replace(')', '')}</small>`}</td>`;
  });
  return html`
<tr><th scope="row">${nameOf(row)}</th><td class="number">${percent(top1.mean)}${top1.deviation === null ? null : html`<small>± ${(100 * top1.deviation).toFixed(1)}</small>`}</td>
<td class="number">${top1.n}</td>${compared}<td class="number">${steps === null ? '' : count(Math.round(steps))}</td><td class="number">${seconds === null ? '' : duration(seconds)}</td></tr>`;
}

/** A page that needs nothing else; `runs` are the paths of the runs' own reports, relative to it. */
export const experimentPage = (
  results: ExperimentResults,
  runs: readonly {readonly run: string; readonly report: string}[],
): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${results.experiment}: pupil experiment</title>
<link rel="icon" href="data:,">
<style>${verbatim(style + armsStyle)}</style>
</head>
<body>
<main>
${experimentSection(results)}
<section id="runs">
<h2>Runs</h2>
<table><thead><tr><th scope="col">Run</th><th scope="col" class="number">Teacher</th><th scope="col" class="number">Supervised</th><th scope="col" class="number">Student</th></tr></thead>
<tbody>${results.runs.map(({run, results: figures}) => {
    const report = runs.find(other => other.run === run)?.report;
    const cells = [figures.teacher, figures.supervised, figures.student].map(
      figure => html`<td class="number">${figure === null ? '' : percent(figure.top1)}</td>`,
    );
    return html`<tr><th scope="row">${report === undefined ? run : html`<a href="${report}">${run}</a>`}</th>${cells}</tr>`;
  })}</tbody></table>
</section>
</main>
<footer>Written <time datetime="${results.finishedAt}">${results.finishedAt.slice(0, 16).replace('T', ' ')} UTC</time>.</footer>
</body>
</html>
`.toString();
